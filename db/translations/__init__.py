"""Texts that clients show, in every language of the product."""
