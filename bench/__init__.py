"""Benchmarks against peers: one command, one interleaved run, ratios."""
