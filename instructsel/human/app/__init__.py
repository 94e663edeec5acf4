"""The web app in which people judge pairs of responses."""
