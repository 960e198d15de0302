"""Plans: which one a user has, what of it is paid, and what it gives (from Sparky)."""
