"""Who recommends what stores sell, and what they earn by it."""
