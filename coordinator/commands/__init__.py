"""The chamber's commands, a file for each group."""
