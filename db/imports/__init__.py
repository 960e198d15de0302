"""Users brought from other services."""
