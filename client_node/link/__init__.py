"""The only way out, and the member's own copy of the log."""
