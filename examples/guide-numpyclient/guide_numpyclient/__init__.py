"""The examples of Flower's guide that are written as a NumPyClient."""
