"""Factors: what proves who one is beside a password."""
