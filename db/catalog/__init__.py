"""Catalog: plans, tools and the choices they offer (from Sparky)."""
