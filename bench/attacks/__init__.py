"""What one attacker costs the honest users of a server."""
