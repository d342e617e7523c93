"""Client state: the typed, transactional view of a Flower ``Context``."""
