"""The durable SuperNode, built from flwr's own parts around a durable NodeState."""
