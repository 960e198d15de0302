"""Billing: what is sold, orders, payments, and what providers told of them."""
