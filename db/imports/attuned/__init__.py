"""People, surveys, partners and games brought from Attuned's prototype."""
