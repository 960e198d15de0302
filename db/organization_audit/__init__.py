"""What was done in organizations, for their owners and admins to read."""
