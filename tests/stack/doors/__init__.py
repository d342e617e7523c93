"""Attacks from the network on the doors of a running federation."""
