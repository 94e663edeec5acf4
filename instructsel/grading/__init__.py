"""Grading: chat templates, generation, held-out loss, preferences, judges."""
