"""What is kept: database, documents and the log."""
