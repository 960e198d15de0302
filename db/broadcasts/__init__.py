"""Broadcasts: a notification that an admin sends to many users."""
