"""Identities at sign-in providers, and what is kept while somebody signs in through one."""
