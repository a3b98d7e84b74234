"""One script a claim; each prints a table and compares with a named baseline in the same run."""
