"""Commands of admins, and of the operator as the tables' owner, on accounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db.core.commands import FunctionCall, SqlFunction
from db.core.origin import Origin, clean_user_agent, coarse_network


def _of_admins(name: str) -> SqlFunction[UUID]:
    return SqlFunction[UUID](name, "uuid", wanted="uuid", from_network="text", from_device="text")


_PROMOTE = _of_admins("app.promote_user")
ADMIN_REMAINS_WITHOUT = SqlFunction[bool]("app.admin_remains_without", "boolean", wanted="uuid")
_DEMOTE = _of_admins("app.demote_user")
_LOCK = _of_admins("app.lock_user")
_UNLOCK = _of_admins("app.unlock_user")
_CONFIRM_EMAIL = _of_admins("app.confirm_user_email")
_SEND_PASSWORD_RESET = _of_admins("app.send_password_reset")
_CREATE = SqlFunction[UUID](
    "app.create_user", "uuid", given="jsonb", from_network="text", from_device="text"
)
_SET_PASSWORD = SqlFunction[UUID](
    "app.set_user_password",
    "uuid",
    wanted="uuid",
    new_hash="text",
    from_network="text",
    from_device="text",
)
_SIGN_OUT = SqlFunction[UUID](
    "app.sign_out_user",
    "uuid",
    wanted="uuid",
    only_session="uuid",
    from_network="text",
    from_device="text",
)
_DELETE = SqlFunction[UUID](
    "app.delete_user",
    "uuid",
    wanted="uuid",
    grace="interval",
    from_network="text",
    from_device="text",
)
SET_USER_LEAVING = SqlFunction[datetime](
    "app.set_user_leaving",
    "timestamp with time zone",
    wanted="uuid",
    grace="interval",
    given_by="text",
    from_network="text",
    from_device="text",
)
SET_USER_ROLE = SqlFunction[bool](
    "app.set_user_role",
    "boolean",
    wanted="uuid",
    new_role="text",
    given_by="text",
    from_network="text",
    from_device="text",
)
SET_USER_LOCKED = SqlFunction[bool](
    "app.set_user_locked",
    "boolean",
    wanted="uuid",
    is_locked="boolean",
    given_by="text",
    from_network="text",
    from_device="text",
)
ADD_USER = SqlFunction[UUID](
    "app.add_user",
    "uuid",
    given="jsonb",
    given_by="text",
    from_network="text",
    from_device="text",
)
REPLACE_PASSWORD = SqlFunction[None](
    "app.replace_password",
    "void",
    wanted="uuid",
    new_hash="text",
    given_by="text",
    from_network="text",
    from_device="text",
)
MAIL_RESET_CODE = SqlFunction[None](
    "app.mail_reset_code",
    "void",
    wanted="uuid",
    given_by="text",
    from_network="text",
    from_device="text",
)
NOTE_EMAIL_CONFIRMED = SqlFunction[bool](
    "app.note_email_confirmed",
    "boolean",
    wanted="uuid",
    given_by="text",
    from_network="text",
    from_device="text",
)
END_SESSIONS_OF = SqlFunction[int](
    "app.end_sessions_of",
    "integer",
    wanted="uuid",
    only_session="uuid",
    given_by="text",
    from_network="text",
    from_device="text",
)


def promote(user_id: UUID, origin: Origin) -> FunctionCall[UUID]:
    """Makes a user an admin; gives the user."""
    return _from(_PROMOTE, user_id, origin)


def demote(user_id: UUID, origin: Origin) -> FunctionCall[UUID]:
    """Takes an admin's rights and sessions away; gives the user."""
    return _from(_DEMOTE, user_id, origin)


def lock(user_id: UUID, origin: Origin) -> FunctionCall[UUID]:
    """Locks an account and ends its sessions; gives the user."""
    return _from(_LOCK, user_id, origin)


def unlock(user_id: UUID, origin: Origin) -> FunctionCall[UUID]:
    """Lets the owner of an account sign in again; gives the user."""
    return _from(_UNLOCK, user_id, origin)


def delete(user_id: UUID, grace: timedelta, origin: Origin) -> FunctionCall[UUID]:
    """Has an account deleted after a while, and ends its sessions; gives the user."""
    return _DELETE(wanted=user_id, grace=grace, **_place(origin))


def create(given: Mapping[str, Any], origin: Origin) -> FunctionCall[UUID]:
    """Opens an account with what `NewUser.with_hash()` gives; gives the user."""
    return _CREATE(given=given, **_place(origin))


def set_password(user_id: UUID, password_hash: str, origin: Origin) -> FunctionCall[UUID]:
    """Gives an account another password; what was signed in with the old one ends."""
    return _SET_PASSWORD(wanted=user_id, new_hash=password_hash, **_place(origin))


def send_password_reset(user_id: UUID, origin: Origin) -> FunctionCall[UUID]:
    """Mails a code for a new password to the account's address; gives the user."""
    return _from(_SEND_PASSWORD_RESET, user_id, origin)


def confirm_email(user_id: UUID, origin: Origin) -> FunctionCall[UUID]:
    """Notes that an account's address is its owner's; gives the user."""
    return _from(_CONFIRM_EMAIL, user_id, origin)


def sign_out(user_id: UUID, session_id: UUID | None, origin: Origin) -> FunctionCall[UUID]:
    """Ends one session of a user's, or all; gives the user."""
    return _SIGN_OUT(wanted=user_id, only_session=session_id, **_place(origin))


def _from(function: SqlFunction[UUID], user_id: UUID, origin: Origin) -> FunctionCall[UUID]:
    return function(wanted=user_id, **_place(origin))


def _place(origin: Origin) -> dict[str, str | None]:
    """Where it was asked for, as the audit log has it."""
    return {
        "from_network": coarse_network(origin.address),
        "from_device": clean_user_agent(origin.user_agent),
    }
