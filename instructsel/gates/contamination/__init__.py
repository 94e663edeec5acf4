"""Items of evaluation sets that stand in rows to train on: hashed n-grams, and how much of an item they cover."""
