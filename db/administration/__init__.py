"""What admins, and the operator, do to accounts."""
