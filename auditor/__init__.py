"""Checks everything offline; needs nothing from the coordinator."""
