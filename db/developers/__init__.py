"""Who programs against this service: keys, tiers, and what is used of them."""
