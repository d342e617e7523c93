"""The only place that touches flwr's non-public modules; each seam says why it is needed."""
