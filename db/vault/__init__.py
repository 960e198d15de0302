"""Vault: how secrets are sealed, found and sealed anew by another master key."""
