"""Generations: runs of tools on uploads, and cached results."""
