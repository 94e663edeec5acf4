"""The checks of an audit: one file a check, found by listing this folder."""
