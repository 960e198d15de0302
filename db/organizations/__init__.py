"""Organizations: who works together, in which role, and who is invited (from VoiceFX)."""
