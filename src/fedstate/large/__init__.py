"""Contexts of up to 2 GiB: their larger arrays travel and are stored beside protobuf."""
