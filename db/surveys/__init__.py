"""Surveys: questions by version, runs, answers, and the profiles made of them (from Attuned)."""
