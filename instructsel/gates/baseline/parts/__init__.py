"""The parts of a baseline, a file each."""
