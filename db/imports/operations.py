"""What the server asks of imported users."""

from __future__ import annotations

from sqlalchemy import text

from db.core.pool import Transaction

# The same text as the index has.
_COST = text("""
    select max(substr(password_hash, 5, 2)) from credentials where password_hash like '$2%'
""")


async def find_imported_cost(transaction: Transaction) -> int | None:
    """The highest cost of the bcrypt hashes that nobody has replaced by signing in yet."""
    found: str | None = await transaction.fetch_value(_COST)
    return int(found) if found and found.isdigit() else None
