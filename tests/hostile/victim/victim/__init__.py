"""A deterministic app with something to lose."""
