"""What the tests of accounts share: one process's worth of them, and ways to look behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from auth.accounts import Accounts
from auth.attempts import Attempts
from auth.failed_attempts import FailedAttempts
from auth.keys import SigningKeys
from auth.passwords import PasswordHasher
from auth.sessions import Sessions, SignedIn
from auth.tokens import AccessTokens
from db.core.actor import SERVICE
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from settings import Settings

PASSWORD = "correct horse battery"


@dataclass
class AuthServices:
    """One process: its accounts, tokens and database."""

    accounts: Accounts
    tokens: AccessTokens
    passwords: PasswordHasher
    failures: FailedAttempts
    database: Database

    async def all(self, sql: str, **parameters: Any) -> list[Any]:
        async with self.database.transaction(SERVICE) as transaction:
            return await transaction.fetch_all(text(sql), **parameters)

    async def value(self, sql: str, **parameters: Any) -> Any:
        (row,) = await self.all(sql, **parameters)
        return row[0]

    async def audit(self, user_id: UUID) -> list[str]:
        rows = await self.all(
            "select action from audit_log where user_id = :user_id order by id", user_id=user_id
        )
        return [row["action"] for row in rows]


def build(database: Database, settings: Settings) -> AuthServices:
    tokens = AccessTokens(SigningKeys.load(settings), settings)
    passwords, attempts = PasswordHasher(), Attempts(settings.failed_sign_ins_per_address)
    failures, sessions = FailedAttempts(database), Sessions(tokens, settings)
    accounts = Accounts(database, passwords, attempts, failures, tokens, sessions, settings)
    return AuthServices(accounts, tokens, passwords, failures, database)


async def lock(owner: asyncpg.Connection, user_id: UUID) -> None:
    """Locks an account, as the operator does."""
    await owner.execute("select app.set_user_locked($1, true, 'test', null, null)", user_id)


def an_email() -> str:
    return f"Ana.{uuid4().hex}@Example.com"


async def refused(awaitable: Any) -> ErrorCode:
    with pytest.raises(DomainError) as error:
        await awaitable
    return error.value.code


async def refreshes(services: AuthServices, *tokens: str) -> list[SignedIn | BaseException]:
    return await asyncio.gather(
        *(services.accounts.refresh(token) for token in tokens), return_exceptions=True
    )
