"""The bare application for rows: each request upserts one profile, as a table's REST endpoint does.

Each row is written in a transaction of its own with the role and the claims. It believes whoever
the request names: no token is checked.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson

from bench.peers.bare import Bare, run
from db.core.pool import role_url

CLAIMS = "select set_config('role', 'authenticated', true), set_config('app.user_id', $1, true)"
UPSERT = """insert into profiles (user_id, local_id, name, analysis) values ($1, $2, $3, $4::jsonb)
on conflict (user_id, local_id) do update set name = excluded.name, analysis = excluded.analysis,
updated_at = now(), synced_at = now()"""


async def upsert(
    connection: asyncpg.Connection, user: str, number: int, name: str, analysis: str
) -> None:
    """Writes one row."""
    async with connection.transaction():
        await connection.execute(CLAIMS, user)
        await connection.execute(UPSERT, user, number, name, analysis)


class BareRows(Bare):
    """The application."""

    _rows: asyncpg.Connection

    async def start(self) -> None:
        """Opens one connection: its client sends one row at a time."""
        url = role_url(self._config["url"], "authenticated", self._config["password"])
        self._rows = await asyncpg.connect(url)

    async def answer(
        self, document: str, variables: dict[str, Any] | None, scope: dict[str, Any]
    ) -> bytes:
        """Upserts a row."""
        del document, scope
        assert variables is not None
        row = variables["input"]
        analysis = orjson.dumps(row["analysis"]).decode()
        await upsert(self._rows, row["user"], row["localId"], row["name"], analysis)
        return b'{"data":{}}'


if __name__ == "__main__":
    run(BareRows)
