"""Play sessions: who plays together, whose turn it is, and which activity they are given."""
