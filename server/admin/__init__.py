"""`/admin`: pages on which admins see and do in a browser what the API has for them."""
