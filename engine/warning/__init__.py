"""Probability that a member itself will be unable to pay within six months."""
