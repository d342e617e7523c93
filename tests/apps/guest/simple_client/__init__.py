"""The SimpleClient of Flower's guide to stateful ClientApps."""
