"""New rows of users, for tests that need one in every table: a module here for each slice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from db.core.actor import Actor

FIRST = Actor("authenticated", UUID("00000000-0000-7000-8000-00000000000a"))
SECOND = Actor("authenticated", UUID("00000000-0000-7000-8000-00000000000b"))
# Has a session and nothing else, so that a new row of theirs meets no unique key.
NEWCOMER = Actor("authenticated", UUID("00000000-0000-7000-8000-00000000000c"))
ADMIN = Actor("authenticated", UUID("00000000-0000-7000-8000-00000000000d"), is_admin=True)
# Of the first user's organization, which is its owner; one was a member, and one is a guest.
MANAGER = Actor("authenticated", UUID("00000000-0000-7000-8000-000000000010"))
MEMBER = Actor("authenticated", UUID("00000000-0000-7000-8000-000000000011"))
VIEWER = Actor("authenticated", UUID("00000000-0000-7000-8000-000000000012"))
EX_MEMBER = Actor("authenticated", UUID("00000000-0000-7000-8000-000000000013"))
GUEST = Actor("authenticated", UUID("00000000-0000-7000-8000-000000000014"))

Row = dict[str, Any]
# Takes the user's id and a key that no row has yet.
Maker = Callable[[UUID, UUID], Row]
LATER = datetime.now(UTC) + timedelta(days=1)
FORMAT = "image/jpeg"


def known_id(user_id: UUID, table: str) -> UUID:
    """The id of the row that every user with rows has in a table."""
    return uuid5(user_id, table)


def serial(key: UUID) -> int:
    """A number for a key."""
    return int(key) % 1_000_000_000


def gathered(name: str) -> dict[str, Any]:
    """What the modules beside this text say under one name, by table.

    `ROWS` make a new row each; `CHANGES` are what an update of a watched table sets.
    """
    found: dict[str, Any] = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.stem != "__init__":
            found |= getattr(import_module(f"tests.rows.{file.stem}"), name, {})
    return found
