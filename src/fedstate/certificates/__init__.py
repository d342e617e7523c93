"""Certificates and keys: the authority, server certificates, node keys, shared secrets."""
