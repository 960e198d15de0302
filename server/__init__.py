"""Processes and HTTP: the application, its routes, and how they start and stop."""
