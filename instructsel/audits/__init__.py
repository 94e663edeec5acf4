"""What a trainer would train on, counted and checked without training."""
