"""What a ServerApp adds to Flower's Grid: a record of every reply, and waiting with a bound."""
