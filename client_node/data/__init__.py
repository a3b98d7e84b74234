"""From the member's files to checked tables."""
