"""What every slice of the database builds on."""
