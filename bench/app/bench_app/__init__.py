"""Rounds of a stateful Keras app, as small or as large as asked."""
