"""Who is asking: passwords, tokens, sessions, and the actor behind a request."""
