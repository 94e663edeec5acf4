"""Models on this machine: found, checked, loaded, and run in batches whose results do not depend on the batch."""
