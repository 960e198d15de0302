"""What organizations may do by their plans, and how much of it they use."""
