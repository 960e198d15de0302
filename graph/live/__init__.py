"""Subscriptions: the hub that reads events, the cursors, and the transports."""
