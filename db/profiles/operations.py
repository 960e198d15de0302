"""Verbs on profiles."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Update, Uuid, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from db.actor import Actor
from db.errors import bad_input, not_found
from db.pool import Transaction
from db.profiles.tables import Profile
from db.rls import own_rows, ownership_predicate

NAME_LIMIT_CHARACTERS = 255
# Aura's thumbnails are base64 in the row; its analyses and chats are a few kilobytes.
THUMBNAIL_LIMIT_BYTES = 512 * 1024
JSON_LIMIT_BYTES = 256 * 1024
_DATA_URL = re.compile(r"data:image/[a-z.+-]+;base64")


def _check(values: Mapping[str, Any]) -> None:
    name = values.get("name")
    if name is not None and len(name) > NAME_LIMIT_CHARACTERS:
        raise bad_input(f"name may have {NAME_LIMIT_CHARACTERS} characters.", "input", "name")
    thumbnail = values.get("thumbnail")
    if thumbnail is not None and len(thumbnail) > THUMBNAIL_LIMIT_BYTES:
        raise bad_input("thumbnail may have 512 KiB.", "input", "thumbnail")
    if thumbnail is not None and not _is_base64(thumbnail):
        raise bad_input("thumbnail must be base64.", "input", "thumbnail")
    if "analysis" in values and not isinstance(values["analysis"], dict):
        raise bad_input("analysis must be a JSON object.", "input", "analysis")
    if "chat_history" in values and not isinstance(values["chat_history"], list):
        raise bad_input("chatHistory must be a JSON list.", "input", "chatHistory")
    for column, field in (("analysis", "analysis"), ("chat_history", "chatHistory")):
        if column in values and len(orjson.dumps(values[column])) > JSON_LIMIT_BYTES:
            raise bad_input(f"{field} may have 256 KiB of JSON.", "input", field)


def _is_base64(thumbnail: str) -> bool:
    """Whether it is base64, with or without what makes a link of it that pages can show."""
    head, comma, body = thumbnail.rpartition(",")
    if comma and not _DATA_URL.fullmatch(head):
        return False
    try:
        base64.b64decode(body, validate=True)
    except ValueError:
        return False
    return True


async def create_profile(transaction: Transaction, actor: Actor, values: Mapping[str, Any]) -> UUID:
    """Creates a profile of the actor's.

    With a `local_id` the call can be repeated: the profile that already has it is returned as it
    is, so that a client which lost an answer does not make a second one.
    """
    _check(values)
    statement = insert(Profile).values(user_id=actor.user_id, **values)
    created: UUID | None = await transaction.fetch_value(
        statement.on_conflict_do_nothing().returning(Profile.id)
    )
    if created is not None:
        return created
    there = select(Profile.id).where(
        Profile.local_id == values["local_id"], own_rows(Profile, actor)
    )
    found: UUID = await transaction.fetch_value(there)
    return found


async def update_profile(
    transaction: Transaction, actor: Actor, profile_id: UUID, values: Mapping[str, Any]
) -> None:
    """Changes the given columns of a profile of the actor's; NOT_FOUND for any other."""
    _check(values)
    new = {f"new_{name}": value for name, value in values.items()}
    changed = await transaction.fetch_value(
        _change_of(frozenset(values)), key=profile_id, owner=actor.user_id, **new
    )
    if changed is None:
        raise not_found("profile", ("input", "id"))


@cache
def _change_of(columns: frozenset[str]) -> Update:
    """The update of these columns; kept, since making one takes longer than running it."""
    table = Profile.__table__
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in columns}
    lock = ownership_predicate(Profile, table, bindparam("owner", type_=Uuid()))
    return (
        update(Profile)
        .where(Profile.id == bindparam("key", type_=Uuid()), lock)
        .values({"updated_at": func.now(), **new, "synced_at": func.now()})
        .returning(Profile.id)
    )


async def delete_profile(transaction: Transaction, actor: Actor, profile_id: UUID) -> None:
    """Deletes a profile of the actor's; NOT_FOUND for any other."""
    statement = (
        delete(Profile)
        .where(Profile.id == profile_id, own_rows(Profile, actor))
        .returning(Profile.id)
    )
    if await transaction.fetch_value(statement) is None:
        raise not_found("profile", ("input", "id"))
