"""E-mails: what is queued, in the transaction that caused it, until it is sent."""
