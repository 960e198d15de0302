"""Webhooks in: verify, store, enqueue; one module per provider."""
