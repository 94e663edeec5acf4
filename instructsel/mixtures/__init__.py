"""Open instruction data: what there is, how its originals are converted, and how sources are mixed."""
