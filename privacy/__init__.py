"""What may leave a member: differential privacy, its accounting, and nothing that touches disk or network."""
