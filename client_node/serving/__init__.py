"""Results at home, for the member alone."""
