"""Verification: is a fine-tune on a selection better than one on a baseline, and how small a difference could have been seen."""
