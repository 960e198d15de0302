"""What an operator sees of accounts and does to them, as the database's owner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg

from db.accounts.emails import clean_email, email_key
from db.administration.operations import (
    ADMIN_REMAINS_WITHOUT,
    SET_USER_LEAVING,
    SET_USER_LOCKED,
    SET_USER_ROLE,
)
from db.core.commands import call_on
from db.core.errors import REFUSAL_SQLSTATE, DomainError, ErrorCode

ID_PREFIX = "user_"

_FIND = "select id from users where email_key = $1"
_LIST = """
select u.id, u.email, u.is_anonymous, u.role, u.status, u.plan_id, u.created_at, d.deletes_at,
       coalesce(w.balance, 0) as balance
from users u left join wallets w on w.user_id = u.id
    left join account_deletions d on d.user_id = u.id
where ($1::text is null or strpos(lower(u.email), lower($1)) > 0 or strpos(u.email_key, $2) > 0)
  and ($3::uuid is null or (u.created_at, u.id) < (select created_at, id from users where id = $3))
order by u.created_at desc, u.id desc limit $4
"""
_USER = """
select u.id, u.email, u.is_anonymous, u.role, u.status, u.display_name, p.name as plan,
       u.created_at, coalesce(w.balance, 0) as balance, coalesce(w.held, 0) as held,
       coalesce(w.unlimited, false) as unlimited,
       u.email_confirmed_at, d.deletes_at,
       (select count(*) from generations g where g.user_id = u.id) as generations,
       (select count(*) from uploads f where f.user_id = u.id) as uploads,
       exists (select from credentials c where c.user_id = u.id) as has_password,
       exists (select from totp_factors t where t.user_id = u.id and t.confirmed_at is not null)
           as has_totp,
       (select count(*) from passkeys k where k.user_id = u.id) as passkeys,
       coalesce((select r.codes_left from recovery_codes r where r.user_id = u.id), 0)
           as recovery_codes
from users u left join wallets w on w.user_id = u.id left join plans p on p.id = u.plan_id
    left join account_deletions d on d.user_id = u.id
where u.id = $1
"""
_IS_ADMIN = "select role = 'admin' from users where id = $1"
_SESSIONS = """
select id, created_at, last_used_at, expires_at, user_agent, address from sessions
where user_id = $1 and revoked_at is null and expires_at > now()
order by last_used_at desc, id desc
"""


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """A user with the figures of what is theirs, and the devices that are signed in."""

    user: asyncpg.Record
    sessions: list[asyncpg.Record]


@asynccontextmanager
async def as_owner(owner_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of the tables; what a function refuses becomes a DomainError."""
    connection = await asyncpg.connect(owner_url)
    try:
        yield connection
    except asyncpg.PostgresError as error:
        if error.sqlstate != REFUSAL_SQLSTATE:
            raise
        raise DomainError(ErrorCode(error.hint), error.message) from error
    finally:
        await connection.close()


async def find_user(connection: asyncpg.Connection, who: str) -> UUID:
    """The id of whoever is named by an e-mail, or by an id as the API gives it."""
    if "@" not in who:
        try:
            user_id = UUID(who.strip().removeprefix(ID_PREFIX))
        except ValueError:
            raise DomainError(
                ErrorCode.BAD_USER_INPUT,
                f"{who} is neither an e-mail nor an id: write name@example.com or {ID_PREFIX}….",
            ) from None
        found = await connection.fetchval("select id from users where id = $1", user_id)
        if found is None:
            raise DomainError(ErrorCode.NOT_FOUND, f"Nobody has the id {who.strip()}.")
        return user_id
    by_email: UUID | None = await connection.fetchval(_FIND, email_key(who))
    if by_email is None:
        raise DomainError(ErrorCode.NOT_FOUND, f"Nobody has the e-mail {clean_email(who)}.")
    return by_email


async def set_role(owner_url: str, who: str, role: Literal["user", "admin"], operator: str) -> bool:
    """Makes a user an admin or takes it away, and notes it; false when it was so already."""
    async with as_owner(owner_url) as connection:
        wanted = SET_USER_ROLE(
            wanted=await find_user(connection, who),
            new_role=role,
            given_by=operator,
            from_network=None,
            from_device=None,
        )
        return await call_on(connection, wanted)


async def is_last_admin(owner_url: str, who: str) -> bool:
    """Whether somebody is an admin, and nobody else who can sign in is one."""
    async with as_owner(owner_url) as connection:
        wanted = await find_user(connection, who)
        if not await connection.fetchval(_IS_ADMIN, wanted):
            return False
        return not await call_on(connection, ADMIN_REMAINS_WITHOUT(wanted=wanted))


async def set_locked(owner_url: str, who: str, *, is_locked: bool, operator: str) -> bool:
    """Locks or unlocks an account, and notes it; false when it was so already."""
    async with as_owner(owner_url) as connection:
        wanted = SET_USER_LOCKED(
            wanted=await find_user(connection, who),
            is_locked=is_locked,
            given_by=operator,
            from_network=None,
            from_device=None,
        )
        return await call_on(connection, wanted)


async def schedule_deletion(
    owner_url: str, who: str, *, grace: timedelta, operator: str
) -> datetime:
    """Has an account deleted after a while, and notes it; tells when."""
    async with as_owner(owner_url) as connection, connection.transaction():
        wanted = SET_USER_LEAVING(
            wanted=await find_user(connection, who),
            grace=grace,
            given_by=operator,
            from_network=None,
            from_device=None,
        )
        return await call_on(connection, wanted)


async def list_users(
    owner_url: str, search: str | None, after: str | None, limit: int
) -> list[asyncpg.Record]:
    """Users, newest first: those whose e-mail has the text `search` in it, behind `after`."""
    async with as_owner(owner_url) as connection:
        behind = await find_user(connection, after) if after is not None else None
        key = email_key(search) if search is not None else None
        found: list[asyncpg.Record] = await connection.fetch(_LIST, search, key, behind, limit)
        return found


async def read_account(owner_url: str, who: str) -> AccountOverview:
    """A user's account, read in one snapshot."""
    async with (
        as_owner(owner_url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        user_id = await find_user(connection, who)
        return AccountOverview(
            await connection.fetchrow(_USER, user_id), await connection.fetch(_SESSIONS, user_id)
        )
