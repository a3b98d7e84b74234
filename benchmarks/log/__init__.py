"""The log: how fast it is written, witnessed and audited."""
