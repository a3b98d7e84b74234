"""What was promised: statements, rules and the log format. Pure functions and values."""
