"""What an API key may be: pure decisions, no I/O."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from db.core.errors import DomainError, bad_input

NAME_LIMIT_CHARACTERS = 100
LONGEST_OVERLAP = timedelta(days=7)


def problems_of_api_key(
    name: str, scopes: Collection[str], expires_at: datetime | None, now: datetime
) -> Iterator[DomainError]:
    """What is wrong with a new key."""
    if not 1 <= len(name.strip()) <= NAME_LIMIT_CHARACTERS:
        yield bad_input("name must have 1 to 100 characters.", "input", "name")
    elif not name.strip().isprintable() or not any(
        unicodedata.category(character)[0] in "LNPS" for character in name
    ):
        yield bad_input("name must be one line of characters that can be seen.", "input", "name")
    if "BOT" in scopes:
        yield bad_input("Keys of bots are made with `createBotKey`.", "input", "scopes")
    if not scopes:
        yield bad_input("Name at least one scope.", "input", "scopes")
    yield from problems_of_end(expires_at, now)


def problems_of_end(expires_at: datetime | None, now: datetime) -> Iterator[DomainError]:
    """What is wrong with the end of a key."""
    if expires_at is not None and expires_at <= now:
        yield bad_input("expiresAt must be in the future.", "input", "expiresAt")


def problems_of_overlap(overlap: timedelta) -> Iterator[DomainError]:
    """What is wrong with how long the secret before a rotation goes on working."""
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        yield bad_input("overlapHours must be between 0 and 168.", "input", "overlapHours")
