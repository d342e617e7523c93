"""A small Keras app whose every bit is determined by its seed."""
