"""From an operation to its SQL statement."""
