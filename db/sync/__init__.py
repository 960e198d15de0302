"""Sync: devices that work offline, and what the server makes of their changes (from Aura)."""
