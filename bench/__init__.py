"""What fedstate costs and saves, as ratios measured in one run: ``python -m bench``."""
