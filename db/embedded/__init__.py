"""The development database: a PostgreSQL of its own."""
