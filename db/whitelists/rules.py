"""What products and whitelists may hold: pure decisions, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from db.core.errors import DomainError, bad_input
from db.core.texts import problems_of_prose
from db.whitelists.tables import DESCRIPTION_LIMIT_CHARACTERS

NAME_CHARACTERS = 100
MOST_REMOVED_AT_ONCE = 1_000
LARGEST_ID = 2**63 - 1
_DIGITS = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
DISCORD_DIGITS = re.compile(r"[0-9]{17,20}", re.ASCII)


def roblox_number(text: str) -> int | None:
    """The number that an id at Roblox is written as; nothing for what is none."""
    if _DIGITS.fullmatch(text) is None:
        return None
    number = int(text)
    return number if number <= LARGEST_ID else None


def problems_of_roblox_id(text: str | None, field: str) -> Iterator[DomainError]:
    """What is wrong with an id at Roblox."""
    if text is not None and roblox_number(text) is None:
        yield bad_input(f"{field} must be a positive number in digits.", "input", field)


def problems_of_discord_id(text: str | None, field: str = "discordId") -> Iterator[DomainError]:
    """What is wrong with a user's id at Discord."""
    if text is not None and DISCORD_DIGITS.fullmatch(text) is None:
        yield bad_input(f"{field} must have 17 to 20 digits.", "input", field)


def problems_of_naming(name: str, description: str | None) -> Iterator[DomainError]:
    """What is wrong with what something is called."""
    if not 1 <= len(name.strip()) <= NAME_CHARACTERS or not name.strip().isprintable():
        yield bad_input(
            f"name must be one line of 1 to {NAME_CHARACTERS} characters.", "input", "name"
        )
    yield from problems_of_prose(description, DESCRIPTION_LIMIT_CHARACTERS, "input", "description")


def problems_of_expiry(expires_at: datetime, now: datetime) -> Iterator[DomainError]:
    """What is wrong with until when somebody is on a whitelist."""
    if expires_at <= now:
        yield bad_input("expiresAt must be in the future.", "input", "expiresAt")


def problems_of_removal(count: int) -> Iterator[DomainError]:
    """What is wrong with how many entries are taken off at once."""
    if not 1 <= count <= MOST_REMOVED_AT_ONCE:
        yield bad_input(f"Name 1 to {MOST_REMOVED_AT_ONCE:,} entries.", "input", "ids")
