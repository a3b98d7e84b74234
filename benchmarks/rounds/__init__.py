"""Rounds, in one process and over real nodes: how long one takes, and what wrong members can do."""
