"""Workflows of organizations: what an agent says and asks, in versions."""
