"""The terms of an agreement: their fields, their prose in two languages, and how they are read."""
