"""Quantile forecasts of weekly or monthly series."""
