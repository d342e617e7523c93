"""The SuperLink: flwr's own, with a few routes more for those who know them."""
