"""What Tallygraph is compared with; each answers the same operations over the same tables."""
