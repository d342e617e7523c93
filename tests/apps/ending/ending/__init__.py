"""A ServerApp that ends as it is told to."""
