"""Other federated learning systems, measured beside ours: ``make bench-peers``.

NVIDIA FLARE in its proof of concept mode has what ours has: processes of their own, mutual TLS,
clients that keep a state. It is installed into an environment of its own, since it and Flower
want other versions of the same packages.
"""

from bench.peers.measure import rows

__all__ = ["rows"]
