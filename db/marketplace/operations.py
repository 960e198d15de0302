"""Commands on what stores sell, of sellers, of buyers, and of those who take files in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg
from sqlalchemy import text

from db.core.actor import SERVICE, Actor
from db.core.commands import FunctionCall, SqlFunction, call_as_actor, call_as_service, call_on
from db.core.errors import Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key
from db.marketplace.rules import (
    problems_of_file,
    problems_of_product,
    problems_of_version,
    written_product,
)

_SET_TERMS = SqlFunction[None]("app.set_marketplace_terms", "void", fee="integer")
_CREATE = SqlFunction[str](
    "app.create_product", "text", wanted_store="uuid", given="jsonb", idempotency_key="text"
)
_UPDATE = SqlFunction[str]("app.update_product", "text", wanted="text", given="jsonb")
_MOVE = SqlFunction[str]("app.move_product", "text", wanted="text", step="text")
_CREATE_FILE = SqlFunction[UUID](
    "app.create_product_file",
    "uuid",
    wanted="text",
    file_name="text",
    content_type="text",
    size_bytes="bigint",
)
_DELETE_FILE = SqlFunction[UUID]("app.delete_product_file", "uuid", wanted="uuid")
_CREATE_VERSION = SqlFunction[UUID](
    "app.create_product_version", "uuid", wanted_file="uuid", label="text", notes="text"
)
_CHECK_PICTURE = SqlFunction[str]("app.check_product_picture", "text", wanted="text")
_ADD_PICTURE = SqlFunction[str](
    "app.add_product_picture",
    "text",
    owner_id="uuid",
    wanted="text",
    picture_id="uuid",
    stored_path="text",
    stored_type="text",
    width="integer",
    height="integer",
)
_REMOVE_PICTURE = SqlFunction[str]("app.remove_product_picture", "text", wanted="uuid")
_BEGIN_DOWNLOAD = SqlFunction[Any](
    "app.begin_download",
    "record(path text, content_type text, file_name text, version_id uuid)",
    wanted="text",
    wanted_version="uuid",
)

_FIND_FILE = text("""
    select product_id, size_bytes, content_type, expires_at, status = 'READY' as is_ready
    from product_files where id = :id
""")
_RECEIVED = text("""
    update product_files set status = 'READY', path = :path, size_bytes = :size_bytes,
        received_at = now()
    where id = :id and status = 'AWAITING'
    returning id
""")
_PHOTO = text("""
    select path, stored_content_type as content_type, width_pixels, height_pixels
    from uploads where id = :id and status = 'READY'
""")


@dataclass(frozen=True, slots=True)
class AwaitedFile:
    """A file of a product as it was announced."""

    product_id: str
    size_bytes: int
    content_type: str
    expires_at: datetime
    is_ready: bool


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that a seller has uploaded."""

    path: str
    content_type: str
    width_pixels: int
    height_pixels: int


@dataclass(frozen=True, slots=True)
class Download:
    """What somebody may download: where it lies, and what it is called."""

    path: str
    content_type: str
    file_name: str
    version_id: UUID


async def publish_terms(connection: asyncpg.Connection, fee_basis_points: int) -> None:
    """Tells the database, as `service` or its owner, on what terms stores sell from now on."""
    await call_on(connection, _SET_TERMS(fee=fee_basis_points))


def create_product(
    problems: Problems, store_id: UUID, given: Mapping[str, Any], idempotency_key: str
) -> FunctionCall[str]:
    """Makes a product of a store, a draft; gives it."""
    written = written_product(given)
    problems.add(problems_of_product(written))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _CREATE(wanted_store=store_id, given=written, idempotency_key=idempotency_key)


def update_product(
    problems: Problems, product_id: str, given: Mapping[str, Any]
) -> FunctionCall[str]:
    """Changes what is given of a product of the actor's; gives it."""
    written = written_product(given)
    problems.add(problems_of_product(written))
    problems.refuse()
    return _UPDATE(wanted=product_id, given=written)


def move_product(product_id: str, step: Literal["PUBLISH", "ARCHIVE"]) -> FunctionCall[str]:
    """Shows a product to everybody, or takes it from sale; gives it."""
    return _MOVE(wanted=product_id, step=step)


def create_file(
    product_id: str, file_name: str, content_type: str, size_bytes: int
) -> FunctionCall[UUID]:
    """Makes a place for a file of a product; gives it."""
    content_type = content_type.strip().lower()
    Problems(problems_of_file(file_name, content_type, size_bytes)).refuse()
    return _CREATE_FILE(
        wanted=product_id, file_name=file_name, content_type=content_type, size_bytes=size_bytes
    )


def delete_file(file_id: UUID) -> FunctionCall[UUID]:
    """Deletes a file that is no version; gives it."""
    return _DELETE_FILE(wanted=file_id)


def create_version(file_id: UUID, label: str, notes: str | None) -> FunctionCall[UUID]:
    """Makes a file the newest version of its product; gives it."""
    Problems(problems_of_version(label, notes)).refuse()
    return _CREATE_VERSION(wanted_file=file_id, label=label, notes=notes)


def remove_picture(picture_id: UUID) -> FunctionCall[str]:
    """Removes a picture of a product; gives the product."""
    return _REMOVE_PICTURE(wanted=picture_id)


async def check_picture(database: Database, actor: Actor, product_id: str) -> None:
    """Refuses another picture to a product that is not the actor's, or has enough."""
    await call_as_actor(database, actor, _CHECK_PICTURE(wanted=product_id))


async def find_photo(database: Database, actor: Actor, upload_id: UUID) -> Photo | None:
    """A photo of the actor's that has come."""
    async with database.transaction(actor) as transaction:
        row = await transaction.fetch_one(_PHOTO, id=upload_id)
    return Photo(**row) if row else None


async def add_picture(
    database: Database, actor: Actor, product_id: str, picture_id: UUID, path: str, photo: Photo
) -> None:
    """Adds a picture that is stored to a product of the actor's."""
    added = _ADD_PICTURE(
        owner_id=actor.user_id,
        wanted=product_id,
        picture_id=picture_id,
        stored_path=path,
        stored_type=photo.content_type,
        width=photo.width_pixels,
        height=photo.height_pixels,
    )
    await call_as_service(database, added)


async def begin_download(
    database: Database, actor: Actor, product_id: str, version_id: UUID | None
) -> Download:
    """What the actor may download of a product; NOT_FOUND for who has not bought it."""
    wanted = _BEGIN_DOWNLOAD(wanted=product_id, wanted_version=version_id)
    async with database.transaction(actor) as transaction:
        row = await transaction.connection.fetchrow(wanted.sql, *wanted.values)
    assert row is not None
    return Download(**row)


async def find_file(database: Database, file_id: UUID) -> AwaitedFile | None:
    """A file as it was announced; None when there is none."""
    async with database.transaction(SERVICE) as transaction:
        row = await transaction.fetch_one(_FIND_FILE, id=file_id)
    return AwaitedFile(**row) if row else None


async def note_file(database: Database, file_id: UUID, path: str, size_bytes: int) -> bool:
    """Notes that a file has come; False when one had come before."""
    async with database.transaction(SERVICE) as transaction:
        noted = await transaction.fetch_value(
            _RECEIVED, id=file_id, path=path, size_bytes=size_bytes
        )
    return noted is not None
