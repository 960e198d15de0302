"""Licence keys of products: made, sold, redeemed once, verified and banned."""
