"""Small apps that know nothing of fedstate."""
