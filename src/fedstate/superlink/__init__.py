"""Flower's SuperLink with routes of our own, and with push notification."""
