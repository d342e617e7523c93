"""A small deterministic app whose every step depends on all steps before it."""
