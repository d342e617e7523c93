"""Rounds of a small PyTorch app."""
