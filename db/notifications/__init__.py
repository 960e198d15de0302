"""Notifications: what the product tells a user (from Sparky)."""
