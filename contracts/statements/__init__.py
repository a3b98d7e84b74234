"""What is signed: every kind of statement, off the log too, and how each is spelled."""
