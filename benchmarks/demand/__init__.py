"""Demand forecasts: the public start, what tuning under privacy adds, and what a node serves."""
