"""What a change is compared with: one file that holds digests, sketches and statistics of a pool, and none of its texts."""
