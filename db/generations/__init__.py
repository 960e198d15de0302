"""Generations: uploads, runs of tools on them, and cached results."""
