"""Sign-in providers: how each says who somebody is."""
