"""Jobs: dead letters, and scheduled work."""
