"""One-time codes, which prove that somebody reads an address, and sign-ups that wait for one."""
