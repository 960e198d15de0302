"""Credits: a double-entry ledger of what users own, hold and spend."""
