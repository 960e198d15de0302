"""Accounts: people, how they prove who they are, and their open sessions."""
