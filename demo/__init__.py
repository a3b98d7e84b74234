"""A simulated industry cluster, and the real processes that run on it."""
