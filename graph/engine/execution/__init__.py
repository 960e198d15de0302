"""Runs planned operations and answers in bytes."""
