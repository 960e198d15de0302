"""Quotas: how many rows and bytes of each slice one user may have."""
