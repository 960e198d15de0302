"""Guests who are merged into the account of a member (from Aura's try-out)."""
