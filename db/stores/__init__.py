"""Stores: who sells, their public pages, and how they are paid."""
