"""Subscriptions that a payment provider renews, and its invoices."""
