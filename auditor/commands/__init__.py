"""The auditor's commands, a file for each group."""
