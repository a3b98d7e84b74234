"""The member's commands, a file for each group."""
