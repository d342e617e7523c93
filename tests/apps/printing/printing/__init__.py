"""An app whose two sides print what they do, and what would confuse a log."""
