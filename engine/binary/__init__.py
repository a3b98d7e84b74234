"""Models of an outcome that is yes or no, for tasks that score rows: own, public and shared votes become one
probability with reasons."""
