"""Coaching: conversations with matches, what an AI suggested to answer, and what came of it."""
