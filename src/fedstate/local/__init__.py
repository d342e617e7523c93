"""The federation as plain processes, for machines without Docker."""
