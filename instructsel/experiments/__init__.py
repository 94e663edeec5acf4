"""Experiments: arms trained and graded alike, recorded run by run."""
