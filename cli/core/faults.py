"""Messages for what an operator can fix: wrong settings, folders and databases."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
FULL = (errno.ENOSPC, errno.EDQUOT)
# SQLSTATE classes and codes, the longer first, and what each asks of the operator.
DATABASE_FAULTS = {
    "3D000": "The database does not exist: create it, or correct the name in its URL.",
    "42P01": "The database lacks a table: run `tallygraph migrate` first.",
    "42883": "The database lacks a function: run `tallygraph migrate` first.",
    "3F000": "The database lacks a schema: run `tallygraph migrate` first.",
    "42501": "The role in the URL may not do this: DATABASE_OWNER_URL must name the tables' owner.",
    "25006": "The database is read-only, such as a standby: name the primary in its URL.",
    "53100": "The database's disk is full: make room there, then try again.",
    "53300": "The database has no connection left: try again, or raise its max_connections.",
    "28": "The database refused the user or the password: correct them in its URL.",
    "57P": "The database is starting or stopping: try again in a moment.",
    "08": "The connection to the database was lost: try again.",
}

Explained = tuple[int, list[str]]


def explained(error: BaseException) -> Explained | None:
    """The exit status and the sentences for an error, or None for an internal error."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return 2, [_setting(fault) for fault in error.errors()]
    for cause in _causes(error):
        if sentence := _refusal(cause) or _database_fault(cause) or _system_fault(cause):
            return 1, [sentence]
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what lies beneath it: a driver's own is wrapped by the libraries above."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or getattr(found, "orig", None)


def _setting(fault: object) -> str:
    from settings import Settings

    assert isinstance(fault, dict)
    # The position in a list says nothing: the message has the value itself.
    names = [str(part) for part in fault["loc"] if not isinstance(part, int)]
    place = ".".join(names).upper()
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "string_pattern_mismatch":
        (example,) = Settings.model_fields[names[0]].examples or ("",)
        message = f"this is not one; write it like {example}"
    return f"{place}: {message}" if place else message


def _refusal(error: BaseException) -> str | None:
    """What our own code says about it."""
    from db.core.pool import UnreachableDatabaseError
    from db.core.roles import UnsafeRoleError
    from db.embedded.database import EmbeddedDatabaseError
    from db.migrations.functions import ForeignDatabaseError
    from server.supervising import CannotServeError
    from settings import SettingsError

    refusals = (
        SettingsError,
        EmbeddedDatabaseError,
        UnreachableDatabaseError,
        UnsafeRoleError,
        ForeignDatabaseError,
        CannotServeError,
    )
    return str(error) if isinstance(error, refusals) else None


def _database_fault(error: BaseException) -> str | None:
    import asyncpg
    from sqlalchemy.exc import ArgumentError

    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        found = (text for start, text in DATABASE_FAULTS.items() if code.startswith(start))
        return next(found, None)
    if isinstance(error, ArgumentError | asyncpg.exceptions.ClientConfigurationError):
        return "The database's URL is not one: write postgresql://user:password@host:port/name."
    if isinstance(error, asyncpg.exceptions.ConnectionDoesNotExistError):
        return DATABASE_FAULTS["08"]
    return None


def _system_fault(error: BaseException) -> str | None:
    """What the operating system refused."""
    if isinstance(error, socket.gaierror):
        return "The host in the database's URL is not known: correct it, or look at the network."
    if isinstance(error, ConnectionError | TimeoutError):
        return (
            "The database does not answer: start it, or correct the host and port in its URL "
            "(DATABASE_OWNER_URL, DATABASE_URL)."
        )
    if not isinstance(error, OSError) or error.errno is None:
        return None
    if error.errno in FULL:
        return f"The disk is full{_place(error)}: make room, then try again."
    if error.filename is None:
        # asyncio gives the refusals of several addresses in one error without a number of its own.
        return None
    if error.errno in UNWRITABLE:
        return f"This can't be read or written: {error.filename} ({os.strerror(error.errno)})."
    return f"{error.filename}: {os.strerror(error.errno)}."


def _place(error: OSError) -> str:
    return f" at {error.filename}" if error.filename else ""
