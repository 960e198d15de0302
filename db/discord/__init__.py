"""Discord: servers that bots are in, what is redeemed there, and who may use which command."""
