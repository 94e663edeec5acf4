"""One file, one numbered check."""
