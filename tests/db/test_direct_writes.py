"""Bounds of the API hold as well for who speaks SQL with a client's role."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import text

from db.core.pool import Database

from ..conftest import MakeUser

INSERT = (
    "insert into profiles (user_id, analysis, {column}) values (app.user_id(), '{{}}', '{value}')"
)
LONG = "x" * 256
BEYOND = [
    *(
        INSERT.format(column=column, value=value)
        for column in ("created_at", "updated_at")
        for value in ("infinity", "-infinity")
    ),
    f"select app.spend_credits(1, '{LONG}', null, 'key')",
    f"select app.spend_credits(1, null, '{LONG}', 'key')",
]


@pytest.mark.parametrize("statement", BEYOND)
async def test_a_clients_role_is_held_to_the_bounds_of_the_api(
    database: Database, make_user: MakeUser, statement: str
) -> None:
    actor = await make_user(credits=1)
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction(actor) as transaction:
            await transaction.execute(text(statement))
    within = (
        statement.replace(LONG, LONG[1:]).replace("-infinity", "now").replace("infinity", "now")
    )
    async with database.transaction(actor) as transaction:
        await transaction.execute(text(within))
