"""Uploads: the photos that users send."""
