"""What an operator does to factors, as the database's owner."""

from __future__ import annotations

from db.accounts.operating import as_owner, find_user
from db.core.commands import call_on
from db.factors.operations import REMOVE_SECOND_FACTORS


async def remove_second_factors(owner_url: str, who: str, operator: str) -> bool:
    """Has an account ask for no second factor any more; false when it asked for none."""
    async with as_owner(owner_url) as connection:
        wanted = await find_user(connection, who)
        return await call_on(connection, REMOVE_SECOND_FACTORS(wanted=wanted, given_by=operator))
