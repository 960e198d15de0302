"""Reminders: what a user asked to be told."""
