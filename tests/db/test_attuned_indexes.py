"""What Attuned looks rows up by has an index in the database itself, in the order of the lookup."""

from __future__ import annotations

import asyncpg
import pytest

from db.core.pool import Database

# Of each lookup: the table, the columns that an index begins with, and a condition that it may have.
LOOKUPS = {
    "users by e-mail": ("users", ["email_key"], None),
    "users by tier": ("users", ["plan_id"], None),
    "profiles of a user, or of a guest": ("survey_profiles", ["user_id"], None),
    "the current profile": ("survey_profiles", ["current_of"], None),
    "surveys in progress": ("survey_runs", ["user_id", "survey_id"], "status = 'IN_PROGRESS'"),
    "sessions of a player, whoever started them": ("play_players", ["user_id"], None),
    "what somebody was shown, by time": ("play_history", ["user_id", "shown_at"], None),
    "requests to an address": ("partner_requests", ["email_key"], None),
    "requests that somebody received": ("partner_requests", ["recipient_id"], None),
    "requests that wait": ("partner_requests", ["requester_id"], "status = 'PENDING'"),
    "requests whose time is over": ("partner_requests", ["expires_at"], "status = 'PENDING'"),
    "remembered partners, the last used first": ("partners", ["user_id", "last_used_at"], None),
    "guests by age": ("users", ["created_at"], "is_anonymous and status = 'active'"),
    "sessions that are played": ("play_sessions", ["updated_at"], "ended_at is null"),
    "a draw": ("activities", ["kind", "level", "shuffle"], "is_active and session_id is null"),
}
INDEXES = """
select array(select a.attname::text from unnest(i.indkey) with ordinality k (number, place)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number order by k.place) as columns,
    pg_get_expr(i.indpred, i.indrelid) as condition
from pg_index i where i.indrelid = $1::text::regclass and i.indisvalid
"""


def plain(condition: str | None) -> str | None:
    """A condition without what Postgres writes into it."""
    if condition is None:
        return None
    for written in ("::text", "(", ")"):
        condition = condition.replace(written, "")
    return " ".join(condition.lower().split())


@pytest.mark.parametrize("lookup", [*LOOKUPS])
async def test_every_lookup_of_attuned_has_an_index(
    database: Database, owner: asyncpg.Connection, lookup: str
) -> None:
    table, columns, condition = LOOKUPS[lookup]
    found = [
        (row["columns"][: len(columns)], plain(row["condition"]))
        for row in await owner.fetch(INDEXES, table)
    ]
    assert (columns, plain(condition)) in found
