"""Bytes in, examples out: every row kept, dropped or quarantined, with its reason."""
