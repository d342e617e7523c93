"""The examples of Flower's guide to stateful ClientApps, one module each."""
