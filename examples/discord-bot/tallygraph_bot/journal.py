"""What the bot must not forget when it stops: what is under way and owed, how far it has read."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path

_TABLES = """
create table if not exists waiting (
    id integer primary key, guild_id text not null, change text not null
);
create table if not exists owed (id integer primary key, change text not null);
create table if not exists cursors (name text primary key, cursor text not null);
"""


@dataclass(frozen=True)
class Change:
    """That somebody has a product or has it no more, as `syncBotWhitelist` takes it."""

    productId: str  # noqa: N815 - the API's own names
    discordId: str  # noqa: N815
    changedAt: str  # noqa: N815
    status: str = "ACTIVE"
    key: str | None = None
    discordUsername: str | None = None  # noqa: N815
    robloxId: str | None = None  # noqa: N815
    robloxUsername: str | None = None  # noqa: N815


class Journal:
    """A file of SQLite's, on the disk before anything is promised to anybody.

    It holds keys until they have reached the server: it is for the bot's account alone.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("pragma synchronous = full")
        self._file.executescript(_TABLES)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def write(self, guild_id: str, change: Change) -> int:
        """Keeps a change until it is `done`; gives its number."""
        row = (guild_id, json.dumps(asdict(change)))
        written = self._file.execute("insert into waiting (guild_id, change) values (?, ?)", row)
        assert written.lastrowid is not None
        return written.lastrowid

    def done(self, number: int) -> None:
        """Forgets a change that the server has, or refused for good."""
        self._file.execute("delete from waiting where id = ?", (number,))

    def waiting(self) -> dict[str, dict[int, Change]]:
        """What the server does not have yet, by guild, in order."""
        found: dict[str, dict[int, Change]] = {}
        rows = self._file.execute("select id, guild_id, change from waiting order by id")
        for number, guild_id, change in rows:
            found.setdefault(guild_id, {})[number] = Change(**json.loads(change))
        return found

    def owe(self, change: Change) -> None:
        """Keeps a change that others are to hear of, until it is `paid`."""
        self._file.execute("insert into owed (change) values (?)", (json.dumps(asdict(change)),))

    def owed(self) -> dict[int, Change]:
        """What others are to hear of, in order."""
        rows = self._file.execute("select id, change from owed order by id")
        return {number: Change(**json.loads(change)) for number, change in rows}

    def paid(self, number: int) -> None:
        """Forgets what others have heard of."""
        self._file.execute("delete from owed where id = ?", (number,))

    def cursor(self, name: str) -> str | None:
        """How far something was read."""
        row = self._file.execute("select cursor from cursors where name = ?", (name,)).fetchone()
        return row[0] if row else None

    def keep_cursor(self, name: str, cursor: str | None) -> None:
        """Notes how far something was read, once that is applied; None: from the beginning."""
        self._file.execute("delete from cursors where name = ?", (name,))
        if cursor is not None:
            self._file.execute("insert into cursors values (?, ?)", (name, cursor))
