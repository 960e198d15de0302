"""Profiles: the people a user keeps notes and analyses on (from Aura)."""
