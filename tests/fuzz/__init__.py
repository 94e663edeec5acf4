"""Forged, odd and damaged files for every reader of the project: `python -m tests.fuzz --help`."""
