"""What nodes, auditors and people reach over HTTPS."""
