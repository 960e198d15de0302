"""Runs of language models: what a plan allows of them, who is served, what they took."""
