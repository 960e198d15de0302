"""Purchases in app stores: what a proof gives its buyer, and how subscriptions stand there."""
