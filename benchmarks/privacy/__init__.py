"""What privacy costs: in time, step by step, and in accuracy."""
