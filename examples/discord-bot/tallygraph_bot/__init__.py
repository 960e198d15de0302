"""A bot for Discord that keeps at Tallygraph who redeemed what, and loses nothing of it."""
