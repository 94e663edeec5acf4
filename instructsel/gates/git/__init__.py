"""What a git branch adds to the data files of a repository."""
