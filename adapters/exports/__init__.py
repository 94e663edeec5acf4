"""Selections as the files of trainers: one file a consumer, each with what it can carry and what it refuses."""
