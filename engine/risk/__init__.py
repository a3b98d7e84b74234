"""Probability that a counterparty defaults within the horizon."""
