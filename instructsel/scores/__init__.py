"""Scores on disk and in memory: one row an example, one column an indicator."""
