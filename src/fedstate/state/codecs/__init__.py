"""How values become Flower records: one small module per codec."""
