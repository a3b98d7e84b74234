"""The steps of an audit by their numbers."""
