"""Commands on whitelists that a bot shares with this server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from db.core.commands import FunctionCall
from db.core.errors import DomainError, Problems, bad_input
from db.core.texts import problems_of_prose
from db.licences.keys import LicenceKeys, written_key
from db.whitelists.operations import CREATE_SYSTEM, DELETE_SYSTEM, SYNC
from db.whitelists.rules import (
    DISCORD_DIGITS,
    problems_of_naming,
    roblox_number,
)
from db.whitelists.tables import METADATA_LIMIT_BYTES

PAGE_ROWS = 500
MOST_CHANGES = 500
NAME_CHARACTERS = 64
USERNAME_CHARACTERS = 100
REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class WhitelistChange:
    """What one side wrote of somebody at one moment."""

    external_id: str
    changed_at: datetime
    status: str
    username: str | None
    discord_id: str | None
    roblox_id: str | None
    licence_key: str | None
    expires_at: datetime | None
    ban_reason: str | None
    details: Any


def create_system(
    problems: Problems, name: str, description: str | None, product_id: UUID | None
) -> FunctionCall[UUID]:
    """Makes a whitelist of the caller's, or finds the one of the name; gives its id."""
    problems.add(problems_of_naming(name, description))
    problems.refuse()
    return CREATE_SYSTEM(
        wanted_name=name.strip(), wanted_description=description, wanted_product=product_id
    )


def delete_system(system_id: UUID) -> FunctionCall[UUID]:
    """Deletes a whitelist of the caller's; gives its id."""
    return DELETE_SYSTEM(wanted=system_id)


def sync_whitelist(
    problems: Problems,
    keys: LicenceKeys,
    system_id: UUID,
    side: str,
    since: str | None,
    changes: Sequence[WhitelistChange],
) -> FunctionCall[dict[str, Any]]:
    """Takes what one side changed, and tells a page of what the other did."""
    if not _is_name(side):
        problems.add([bad_input("side has 1 to 64 printable characters.", "input", "side")])
    if len(changes) > MOST_CHANGES:
        message = f"Send at most {MOST_CHANGES} changes at a time."
        problems.add([bad_input(message, "input", "changes")])
    for n, change in enumerate(changes[:MOST_CHANGES]):
        problems.add(_problems(change, ("input", "changes", str(n))))
    problems.refuse()
    return SYNC(
        wanted=system_id,
        side=side,
        since=since,
        changes=[_packed(keys, n, change) for n, change in enumerate(changes)],
        page_rows=PAGE_ROWS,
    )


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= NAME_CHARACTERS and text.isprintable()


def _problems(change: WhitelistChange, path: tuple[str, ...]) -> Iterator[DomainError]:
    if not _is_name(change.external_id):
        yield bad_input("externalId has 1 to 64 printable characters.", *path, "externalId")
    if change.username is not None and not 1 <= len(change.username) <= USERNAME_CHARACTERS:
        yield bad_input("username has 1 to 100 characters.", *path, "username")
    if change.discord_id is not None and DISCORD_DIGITS.fullmatch(change.discord_id) is None:
        yield bad_input("discordId must have 17 to 20 digits.", *path, "discordId")
    if change.roblox_id is not None and roblox_number(change.roblox_id) is None:
        yield bad_input("robloxId must be a positive number in digits.", *path, "robloxId")
    if change.licence_key is not None and written_key(change.licence_key) is None:
        yield bad_input("licenceKey is no licence key.", *path, "licenceKey")
    yield from problems_of_prose(change.ban_reason, REASON_CHARACTERS, *path, "banReason")
    if change.details is not None and not isinstance(change.details, dict):
        yield bad_input("details must be a JSON object.", *path, "details")
    elif len(orjson.dumps(change.details)) > METADATA_LIMIT_BYTES // 2:
        # Postgres writes blanks between the parts of a document.
        yield bad_input("details may have at most 2 KiB of JSON.", *path, "details")


def _packed(keys: LicenceKeys, n: int, change: WhitelistChange) -> dict[str, Any]:
    written = None if change.licence_key is None else written_key(change.licence_key)
    key = None if written is None else keys.redeemed(change.external_id, written)
    return {
        "n": n,
        "external_id": change.external_id,
        "changed_at": change.changed_at.isoformat(),
        "status": change.status,
        "username": change.username,
        "discord_id": change.discord_id,
        "roblox_id": None if change.roblox_id is None else roblox_number(change.roblox_id),
        "key_hash": None if key is None else key.hash.hex(),
        "key_sealed": None if key is None else key.sealed.hex(),
        "expires_at": None if change.expires_at is None else change.expires_at.isoformat(),
        "ban_reason": change.ban_reason,
        "details": change.details,
    }


def told(done: Mapping[str, Any]) -> dict[str, Any]:
    """What a sync answers, as the schema shows it."""
    times = ("expires_at", "updated_at")
    return {
        "accepted": done["accepted"],
        "changes": [
            one
            | {name: one[name] and datetime.fromisoformat(one[name]) for name in times}
            | {"id": f"whitelistUser_{one['id']}"}
            for one in done["changes"]
        ],
        "cursor": done["cursor"],
        "has_more": done["has_more"],
    }
