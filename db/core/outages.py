"""Outages: which errors mean that the database is unavailable, and what clients are told."""

from __future__ import annotations

import asyncpg

from db.core.errors import DomainError, ErrorCode

PROMPT_SECONDS = 1.0


def connection_lost(error: BaseException) -> bool:
    """Whether the connection itself is gone: a dead backend, or a server that is shutting down."""
    if isinstance(error, asyncpg.PostgresError):
        # 08: connection exceptions; 57P: the server was told to stop (PostgreSQL, appendix A).
        return (error.sqlstate or "").startswith(("08", "57P"))
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError)


def worth_another_try(error: BaseException, waited_seconds: float) -> bool:
    """Whether a read may run again: its connection had died, and its client has not waited for it.

    Who waited met a pooler or a server without room, and would only wait as long again.
    """
    return connection_lost(error) and waited_seconds < PROMPT_SECONDS


def cannot_serve(error: BaseException) -> bool:
    """Whether the database is away, too slow or short of something: the same may work later."""
    if isinstance(error, asyncpg.PostgresError):
        # 53: insufficient resources, such as a full disk; 58: the system below Postgres failed.
        short = (error.sqlstate or "").startswith(("53", "58"))
        return short or isinstance(error, asyncpg.QueryCanceledError) or connection_lost(error)
    return connection_lost(error)


def passes_soon(error: BaseException) -> bool:
    """Whether the database will soon take what it refused: it is away, busy, or had a deadlock."""
    if isinstance(error, DomainError):
        return error.code is ErrorCode.SERVICE_UNAVAILABLE
    return cannot_serve(error) or isinstance(error, asyncpg.TransactionRollbackError)


def answered(error: BaseException) -> bool:
    """Whether Postgres itself refused, so that its connection is ready for the next statement.

    asyncpg raises the same classes for arguments that it cannot encode, with a statement half sent.
    """
    if isinstance(error, asyncpg.PostgresError):
        return error.severity is not None
    return isinstance(error, DomainError)


def unavailable() -> DomainError:
    """The database cannot be reached or has no connection to spare."""
    return DomainError(
        ErrorCode.SERVICE_UNAVAILABLE, "The database is busy or restarting. Try again in a moment."
    )
