"""Orders, runs and rounds, secure sums, gates and model cards."""
