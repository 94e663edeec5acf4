"""Studies: which sets to fine-tune on, and what came of it."""
