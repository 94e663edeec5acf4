"""Reports: results as something to look at."""
