"""Leaving: accounts that are deleted after a while, and archives of all that a user has."""
