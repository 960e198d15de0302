"""What users say of themselves, and what an analysis made of it (from Aura)."""
