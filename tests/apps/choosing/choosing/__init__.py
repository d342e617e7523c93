"""An app that chooses how joblib works for itself, on both sides."""
