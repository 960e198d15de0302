"""People who show a product, for a deployment that is tried."""
