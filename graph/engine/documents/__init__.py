"""From a request's text to a valid operation, its variables and its cost."""
