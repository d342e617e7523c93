"""A hostile app: it tries what it must not be able to do, and says what came of it."""
