"""What there is to check: a log with its documents from a URL, a folder or a pack."""
