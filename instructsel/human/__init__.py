"""Comparisons of responses that people judge: read, shown blind, recorded, summarized."""
