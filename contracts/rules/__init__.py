"""The only definition of "allowed": one noun a file, each rule's docstring opens with its number."""
