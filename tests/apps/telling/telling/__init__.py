"""An app whose tasks give away the tokens that they have."""
