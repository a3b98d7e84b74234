"""Risk of counterparties and of members: what sharing adds, on public and on simulated data."""
