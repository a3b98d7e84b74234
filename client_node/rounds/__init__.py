"""Taking part in a run: the guard, the training data and what is sent."""
