"""Commands on partners."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from db.accounts.emails import check_new_email, email_key
from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call, call_as_service
from db.core.pool import Database
from db.partners.comparing import compared

_REQUEST = SqlFunction[UUID](
    "app.request_partner", "uuid", email="text", email_key="text", level="text"
)
_ACCEPT = SqlFunction[UUID]("app.accept_partner", "uuid", wanted="uuid", level="text")
_DECLINE = SqlFunction[UUID]("app.decline_partner", "uuid", wanted="uuid", with_block="boolean")
_CANCEL = SqlFunction[UUID]("app.cancel_partner_request", "uuid", wanted="uuid")
_DISCONNECT = SqlFunction[UUID]("app.disconnect_partner", "uuid", wanted="uuid")
_REMOVE = SqlFunction[UUID]("app.remove_partner", "uuid", wanted="uuid")
_BLOCK = SqlFunction[UUID]("app.block_partner", "uuid", wanted="uuid")
_UNBLOCK = SqlFunction[UUID]("app.unblock_partner", "uuid", wanted="uuid")
_RECONNECT = SqlFunction[UUID]("app.reconnect_partner", "uuid", wanted="uuid")
_SET_SHARING = SqlFunction[UUID]("app.set_sharing", "uuid", wanted="uuid", level="text")
_SET_DEFAULT = SqlFunction[UUID]("app.set_default_sharing", "uuid", wanted="text")
# Of a user, for expressions of larger statements.
DEFAULT_SHARING = SqlFunction[str]("app.default_sharing", "text", owner_id="uuid")
_DELIVER = SqlFunction[None]("app.deliver_partner_request", "void", wanted="uuid")
CONNECT = SqlFunction[None]("app.connect_partners", "void", one="uuid", other="uuid")
DROP_OLD = SqlFunction[list[UUID]]("app.dropped_partners", "uuid[]", owner_id="uuid")
_READ_COMPARISON = SqlFunction[dict[str, Any] | None](
    "app.read_comparison", "jsonb", one="uuid", other="uuid"
)
_STORE_COMPARISON = SqlFunction[None](
    "app.store_comparison", "void", one="uuid", other="uuid", results="jsonb"
)
EXPIRE = SqlFunction[int]("app.expire_partner_requests", "integer", at_most="integer")
QUEUE_MISSING_COMPARISONS = SqlFunction[int](
    "app.queue_missing_comparisons", "integer", at_most="integer"
)


def request(email: str, level: str | None = None) -> FunctionCall[UUID]:
    """Asks an address to connect; gives the request. `level` is what the caller will show."""
    address = check_new_email(email)
    return _REQUEST(email=address, email_key=email_key(address), level=level)


def accept(request_id: UUID, level: str | None = None) -> FunctionCall[UUID]:
    """Accepts a request; gives it. `level` is what the caller shows from now on."""
    return _ACCEPT(wanted=request_id, level=level)


def decline(request_id: UUID, *, with_block: bool) -> FunctionCall[UUID]:
    """Declines a request, and blocks whoever asked where that is wanted; gives the request."""
    return _DECLINE(wanted=request_id, with_block=with_block)


def cancel(request_id: UUID) -> FunctionCall[UUID]:
    """Takes a request back; gives it."""
    return _CANCEL(wanted=request_id)


def disconnect(partner_id: UUID) -> FunctionCall[UUID]:
    """Ends a connection; gives the partner."""
    return _DISCONNECT(wanted=partner_id)


def remove(partner_id: UUID) -> FunctionCall[UUID]:
    """Forgets a partner; gives the caller."""
    return _REMOVE(wanted=partner_id)


def block(partner_id: UUID) -> FunctionCall[UUID]:
    """Forgets a partner, who cannot ask again; gives the caller."""
    return _BLOCK(wanted=partner_id)


def unblock(block_id: UUID) -> FunctionCall[UUID]:
    """Ends a block; gives the caller."""
    return _UNBLOCK(wanted=block_id)


def reconnect(partner_id: UUID) -> FunctionCall[UUID]:
    """Asks a remembered partner to connect again; gives the request."""
    return _RECONNECT(wanted=partner_id)


def set_sharing(partner_id: UUID, level: str) -> FunctionCall[UUID]:
    """Sets what the caller shows a partner; gives the partner."""
    return _SET_SHARING(wanted=partner_id, level=level)


def set_default_sharing(level: str) -> FunctionCall[UUID]:
    """Sets what the caller shows new partners; gives the caller."""
    return _SET_DEFAULT(wanted=level)


async def compare(database: Database, one: UUID, other: UUID) -> None:
    """Works out how well two partners fit, by their profiles as they are now."""
    async with database.transaction(SERVICE) as transaction:
        read = await call(transaction, _READ_COMPARISON(one=one, other=other))
        if read is not None:
            of_one, of_other = compared(read)
            results = {str(one): of_one, str(other): of_other}
            await call(transaction, _STORE_COMPARISON(one=one, other=other, results=results))


async def deliver(database: Database, request_id: UUID) -> None:
    """Brings a request to whoever has the address; again it changes nothing more."""
    await call_as_service(database, _DELIVER(wanted=request_id))
