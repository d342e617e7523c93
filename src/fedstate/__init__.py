"""fedstate: Flower federations whose clients remember."""
