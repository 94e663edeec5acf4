"""One file, one indicator: a number for each example, or null with a reason."""
