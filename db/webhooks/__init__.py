"""The inbox of webhooks: what payment providers delivered, and what became of it."""
