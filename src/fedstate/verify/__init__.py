"""The verifier: what the nodes hold, compared with what the server was told."""
