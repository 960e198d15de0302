"""What an operator does to the ways into accounts, as the database's owner."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson

from db.accounts.emails import email_key
from db.accounts.operating import as_owner, find_user
from db.administration.new_users import NewUser
from db.administration.operations import (
    ADD_USER,
    END_SESSIONS_OF,
    MAIL_RESET_CODE,
    NOTE_EMAIL_CONFIRMED,
    REPLACE_PASSWORD,
)
from db.core.commands import call_on
from db.core.errors import DomainError, ErrorCode

NO_PLACE: dict[str, None] = {"from_network": None, "from_device": None}
_NAMES = "select id, email, username from users where id = $1"
_ACCOUNT_OF = "select id from users where email_key = $1"
_WAITING = (
    "select exists (select from pending_sign_ups where email_key = $1 and expires_at > now())"
)


@dataclass(frozen=True, slots=True)
class Names:
    """Who somebody is, and what no password of theirs is made of."""

    user_id: UUID
    email: str | None
    username: str


async def add_user(owner_url: str, new: NewUser, password_hash: str | None, operator: str) -> UUID:
    """Opens an account, and notes it; gives the user."""
    async with as_owner(owner_url) as connection:
        given = orjson.dumps(new.with_hash(password_hash)).decode()
        wanted = ADD_USER(given=given, given_by=operator, **NO_PLACE)
        return await call_on(connection, wanted)


async def refuse_known_email(owner_url: str, email: str) -> None:
    """Refuses an address that has an account."""
    async with as_owner(owner_url) as connection:
        found = await connection.fetchval(_ACCOUNT_OF, email_key(email))
    if found is not None:
        raise DomainError(
            ErrorCode.EMAIL_IN_USE, f"{email} has an account: `tallygraph users show {email}`."
        )


async def read_names(owner_url: str, who: str) -> Names:
    """Whose account an e-mail or an id names."""
    async with as_owner(owner_url) as connection:
        row = await connection.fetchrow(_NAMES, await find_account(connection, who))
    assert row is not None
    return Names(*row)


async def replace_password(
    owner_url: str, user_id: UUID, password_hash: str, operator: str
) -> None:
    """Gives an account another password, and notes it; what the old one signed in ends."""
    async with as_owner(owner_url) as connection, connection.transaction():
        wanted = REPLACE_PASSWORD(
            wanted=user_id, new_hash=password_hash, given_by=operator, **NO_PLACE
        )
        await call_on(connection, wanted)


async def mail_reset_code(owner_url: str, who: str, operator: str) -> None:
    """Has a code for a new password mailed to an account's address, and notes it."""
    async with as_owner(owner_url) as connection, connection.transaction():
        user_id = await find_account(connection, who)
        await call_on(connection, MAIL_RESET_CODE(wanted=user_id, given_by=operator, **NO_PLACE))


async def confirm_email(owner_url: str, who: str, operator: str) -> bool:
    """Confirms an account's address, and notes it; false when it was confirmed already."""
    async with as_owner(owner_url) as connection, connection.transaction():
        user_id = await find_account(connection, who)
        wanted = NOTE_EMAIL_CONFIRMED(wanted=user_id, given_by=operator, **NO_PLACE)
        return await call_on(connection, wanted)


async def end_sessions(owner_url: str, who: str, session_id: UUID | None, operator: str) -> int:
    """Ends one session of a user's, or all, and notes it; gives how many were open."""
    async with as_owner(owner_url) as connection, connection.transaction():
        wanted = END_SESSIONS_OF(
            wanted=await find_account(connection, who),
            only_session=session_id,
            given_by=operator,
            **NO_PLACE,
        )
        return await call_on(connection, wanted)


async def find_account(connection: asyncpg.Connection, who: str) -> UUID:
    """The same as `find_user()`; who signed up and waits for a code is no account yet."""
    try:
        return await find_user(connection, who)
    except DomainError as error:
        if "@" not in who or not await connection.fetchval(_WAITING, email_key(who)):
            raise
        raise DomainError(
            ErrorCode.NOT_FOUND,
            f"{error.message} Somebody signed up with it and has not confirmed it yet; "
            "`tallygraph users create` opens the account.",
        ) from None
