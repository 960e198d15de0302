"""Products: what admins change of what is sold."""
