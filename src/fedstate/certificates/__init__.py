"""Certificates and keys: a private authority, server certificates, node keys, shared secrets."""
