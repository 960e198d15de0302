"""Calls of workflows: one run is one call to one number."""
