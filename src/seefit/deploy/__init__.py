"""Shipping a model: exports that prove themselves, and the server."""
