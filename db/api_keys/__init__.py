"""API keys: secrets with which servers and bots act as a user."""
