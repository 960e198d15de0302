"""What happens later: the worker, its schedule, and the providers it calls."""
