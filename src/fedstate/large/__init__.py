"""Contexts of up to 2 GiB: their larger arrays are streamed and stored around protobuf."""
