"""Entitlements: what users may use by purchases that a provider keeps the books of."""
