"""Undoing: what its owner takes back of what somebody did to the ways into an account."""
