"""Commands of admins, and of the operator as the tables' owner, on accounts."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from db.accounts.rules import clean_user_agent
from db.core.commands import FunctionCall, SqlFunction
from db.core.origin import Origin, coarse_network


def _of_admins(name: str) -> SqlFunction[UUID]:
    return SqlFunction[UUID](name, "uuid", wanted="uuid", from_network="text", from_device="text")


_PROMOTE = _of_admins("app.promote_user")
_DEMOTE = _of_admins("app.demote_user")
_LOCK = _of_admins("app.lock_user")
_UNLOCK = _of_admins("app.unlock_user")
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
    return _DELETE(
        wanted=user_id,
        grace=grace,
        from_network=coarse_network(origin.address),
        from_device=clean_user_agent(origin.user_agent),
    )


def _from(function: SqlFunction[UUID], user_id: UUID, origin: Origin) -> FunctionCall[UUID]:
    return function(
        wanted=user_id,
        from_network=coarse_network(origin.address),
        from_device=clean_user_agent(origin.user_agent),
    )
