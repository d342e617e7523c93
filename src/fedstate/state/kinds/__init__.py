"""The kinds of values that can stand anywhere in a nested value."""
