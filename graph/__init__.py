"""What clients see: the schema, the engine that answers it, and the live updates."""
