"""Payments: the contract that every provider keeps, and what each does beside it."""
