"""Jobs: those that were given up, and the work that is done by the clock."""
