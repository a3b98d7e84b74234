"""A member's side: enforces the member's own limits, trains on data that never leave, serves results."""
