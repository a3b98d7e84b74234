"""A member's node alone: importing files, serving results."""
