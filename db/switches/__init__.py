"""Switches: what an operator turns on or off for everybody while the product runs."""
