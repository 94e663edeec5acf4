"""One file, one format. A format says whether a row is its own, why, and what conversation the row holds."""
