"""One file, one form in which a verdict is written."""
