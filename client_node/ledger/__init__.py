"""What this member's data has cost so far."""
