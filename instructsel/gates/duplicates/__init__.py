"""Rows that repeat others: the same conversation, nearly the same words, nearly the same vector, the same prompt."""
