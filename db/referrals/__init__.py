"""Referrals: who came by whose code, and what both get once that has proven real."""
