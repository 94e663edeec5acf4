"""Embeddings, their nearest neighbors, and texts that are nearly the same."""
