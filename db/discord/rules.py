"""What servers at Discord, products of bots and permissions may hold: pure decisions, no I/O."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence

from db.core.errors import DomainError, bad_input
from db.core.texts import problems_of_prose
from db.discord.tables import MESSAGE_LIMIT_CHARACTERS

MOST_AT_ONCE = 100
MOST_CHANGES = 500
NAME_CHARACTERS = 100
LARGEST_COUNT = 2**31 - 1
SECRET_CHARACTERS = 500
ADMINISTRATOR = 0x8
# 32 signs, of which none is taken for another; 60 bits, which nobody guesses in ten minutes.
LINK_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
LINK_CHARACTERS = 12
_SNOWFLAKE = re.compile(r"[0-9]{17,20}", re.ASCII)
_COMMAND = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_-]{8,100}", re.ASCII)
_ICON = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)

Path = tuple[str, ...]


def is_snowflake(text: str) -> bool:
    """Whether a text is an id at Discord."""
    return _SNOWFLAKE.fullmatch(text) is not None


def problems_of_snowflake(text: str | None, *path: str) -> Iterator[DomainError]:
    """What is wrong with an id at Discord."""
    if text is not None and not is_snowflake(text):
        yield bad_input(f"{path[-1]} must have 17 to 20 digits.", *path)


def problems_of_line(text: str | None, *path: str) -> Iterator[DomainError]:
    """What is wrong with what something or somebody is called."""
    if text is not None and not (
        1 <= len(text.strip()) <= NAME_CHARACTERS and text.strip().isprintable()
    ):
        yield bad_input(f"{path[-1]} must be one line of 1 to {NAME_CHARACTERS} characters.", *path)


def problems_of_count(count: int, most: int, field: str) -> Iterator[DomainError]:
    """What is wrong with how many are sent at once."""
    if not 1 <= count <= most:
        yield bad_input(f"Send 1 to {most} {field}.", "input", field)


def problems_of_guild(icon: str | None, member_count: int, path: Path) -> Iterator[DomainError]:
    """What is wrong with what Discord says of a server, beside its ids and its name."""
    if icon is not None and _ICON.fullmatch(icon) is None:
        yield bad_input("icon must be the hash that Discord names it by.", *path, "icon")
    if not 0 <= member_count <= LARGEST_COUNT:
        yield bad_input("memberCount must be 0 or more.", *path, "memberCount")


def problems_of_message(text: str | None, path: Path) -> Iterator[DomainError]:
    """What is wrong with what a bot says to who redeemed a key."""
    if text is not None and not 1 <= len(text) <= MESSAGE_LIMIT_CHARACTERS:
        yield bad_input(
            f"redemptionMessage must have 1 to {MESSAGE_LIMIT_CHARACTERS:,} characters.",
            *path,
            "redemptionMessage",
        )
    elif text is not None:
        yield from problems_of_prose(text, MESSAGE_LIMIT_CHARACTERS, *path, "redemptionMessage")


def problems_of_secret(text: str | None, *path: str) -> Iterator[DomainError]:
    """What is wrong with a key at another service."""
    if text is not None and not (
        1 <= len(text) <= SECRET_CHARACTERS and text.isprintable() and " " not in text
    ):
        yield bad_input(
            f"{path[-1]} must have 1 to {SECRET_CHARACTERS} characters and no space.", *path
        )


def problems_of_bot_key(text: str | None, *path: str) -> Iterator[DomainError]:
    """What is wrong with a key that somebody redeems at a bot."""
    if text is not None and _KEY.fullmatch(text) is None:
        yield bad_input(
            f"{path[-1]} must have 8 to 100 letters, digits, dashes or underscores.", *path
        )


def problems_of_command(name: str, role_ids: Sequence[str], path: Path) -> Iterator[DomainError]:
    """What is wrong with who may use a command."""
    if _COMMAND.fullmatch(name) is None:
        yield bad_input(
            "commandName must have 1 to 32 lower-case letters, digits, dashes or underscores.",
            *path,
            "commandName",
        )
    if len(role_ids) > MOST_AT_ONCE:
        yield bad_input("allowedRoleIds may be at most 100.", *path, "allowedRoleIds")
    elif not all(map(is_snowflake, role_ids)):
        yield bad_input("allowedRoleIds must have 17 to 20 digits each.", *path, "allowedRoleIds")


def new_link_code() -> str:
    """A code that nobody has, in three groups."""
    signs = "".join(secrets.choice(LINK_ALPHABET) for _ in range(LINK_CHARACTERS))
    return "-".join(signs[start : start + 4] for start in range(0, LINK_CHARACTERS, 4))


def written_link_code(given: str) -> str:
    """A code as it is hashed: whichever way it was typed."""
    return "".join(given.split()).upper().replace("-", "")


def may_administer(
    discord_id: str, owner_id: str, guild_id: str, member_role_ids: Sequence[str], roles: object
) -> bool:
    """Whether somebody owns or administers a server, by what Discord says of it and of them.

    `roles` are the server's, each with an id and its `permissions` as a number in digits. Everybody
    has the role that has the server's own id.
    """
    if discord_id == owner_id:
        return True
    own = {guild_id, *member_role_ids}
    if not isinstance(roles, list):
        return False
    return any(
        isinstance(role, dict)
        and role.get("id") in own
        and str(role.get("permissions", "")).isdecimal()
        and int(role["permissions"]) & ADMINISTRATOR
        for role in roles
    )
