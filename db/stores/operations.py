"""Commands on stores, and on what their owners say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.core.actor import SERVICE, Actor
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import DomainError, ErrorCode, Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key
from db.stores.rules import problems_of_creator, problems_of_store, written_store

_CREATE = SqlFunction[UUID](
    "app.create_store", "uuid", given="jsonb", idempotency_key="text"
).noting_place()
_UPDATE = SqlFunction[UUID]("app.update_store", "uuid", wanted="uuid", given="jsonb")
_BEGIN_ONBOARDING = SqlFunction[Any](
    "app.begin_onboarding",
    "record(owner_id uuid, email text, business_name text, account_id uuid, sealed_account bytea)",
    wanted="uuid",
    for_provider="text",
)
_NOTE_ACCOUNT = SqlFunction[bool](
    "app.note_seller_account",
    "boolean",
    wanted="uuid",
    for_provider="text",
    account_id="uuid",
    given_account="bytea",
    given_index="bytea",
)
_FORGET_ACCOUNT = SqlFunction[None]("app.forget_seller_account", "void", wanted="uuid")
_DUE_TRANSFER = SqlFunction[Any](
    "app.due_transfer",
    "record(payment text, amount_cents integer, step text)",
    from_provider="text",
    dispute="text",
)
_NOTE_TRANSFER = SqlFunction[None](
    "app.note_transfer", "void", from_provider="text", dispute="text", step="text"
)
_NOTE_DOMAIN = SqlFunction[None](
    "app.note_domain", "void", wanted="uuid", domain="text", is_proven="boolean"
)
_DUE_DOMAINS = SqlFunction[list[tuple[str, str]]]("app.due_domains", "jsonb", at_most="integer")
_SET_PICTURE = SqlFunction[str | None](
    "app.set_store_picture",
    "text",
    owner_id="uuid",
    wanted="uuid",
    kind="text",
    stored_path="text",
)
_SAVE_CREATOR = SqlFunction[UUID]("app.save_creator_profile", "uuid", given="jsonb")


@dataclass(frozen=True, slots=True)
class SellerOnboarding:
    """Who is to be paid, and the account that their store has at the provider, if it has one."""

    owner_id: UUID
    email: str | None
    business_name: str
    account_id: UUID | None
    sealed_account: bytes | None


@dataclass(frozen=True, slots=True)
class DueTransfer:
    """What is due between whoever runs the service and a seller; no `step` when nothing is."""

    payment: str | None
    amount_cents: int | None
    step: str | None


async def require_store(database: Database, actor: Actor, store_id: UUID) -> None:
    """NOT_FOUND for a store that is not the actor's."""
    async with database.transaction(actor) as transaction:
        found = await transaction.connection.fetchval(
            "select id from stores where id = $1 and user_id = $2", store_id, actor.user_id
        )
    if found is None:
        raise _no_such_store()


async def set_picture(
    database: Database, actor: Actor, store_id: UUID, kind: str, path: str | None
) -> str | None:
    """Keeps where a picture of a store of the actor's lies; gives where the one before lay."""
    noted = _SET_PICTURE(owner_id=actor.user_id, wanted=store_id, kind=kind, stored_path=path)
    return await call_as_service(database, noted)


def _no_such_store() -> DomainError:
    return DomainError(ErrorCode.NOT_FOUND, "There is no such store.", ("input", "storeId"))


async def domain_of(database: Database, actor: Actor, store_id: UUID) -> str:
    """The domain that a store of the actor's names; NOT_FOUND for any other."""
    async with database.transaction(actor) as transaction:
        row = await transaction.connection.fetchrow(
            "select custom_domain from stores where id = $1 and user_id = $2",
            store_id,
            actor.user_id,
        )
    if row is None:
        raise _no_such_store()
    if row["custom_domain"] is None:
        raise DomainError(
            ErrorCode.INVALID_STATE,
            "This store names no domain. Set `customDomain` first.",
            ("input", "storeId"),
        )
    return str(row["custom_domain"])


async def note_domain(database: Database, store_id: UUID, domain: str, *, is_proven: bool) -> None:
    """Notes whether a store's domain names it."""
    await call_as_service(
        database, _NOTE_DOMAIN(wanted=store_id, domain=domain, is_proven=is_proven)
    )


async def due_domains(database: Database, at_most: int) -> list[tuple[UUID, str]]:
    """Stores and their domains whose record is to be looked for now."""
    due = await call_as_service(database, _DUE_DOMAINS(at_most=at_most))
    return [(UUID(store_id), domain) for store_id, domain in due]


async def begin_onboarding(
    database: Database, actor: Actor, store_id: UUID, provider: str
) -> SellerOnboarding:
    """What an account of a store of the actor's is made of; NOT_FOUND for any other."""
    wanted = _BEGIN_ONBOARDING(wanted=store_id, for_provider=provider)
    async with database.transaction(actor) as transaction:
        row = await transaction.connection.fetchrow(wanted.sql, *wanted.values)
    assert row is not None
    return SellerOnboarding(**row)


async def note_account(
    database: Database, store_id: UUID, provider: str, account_id: UUID, sealed: bytes, index: bytes
) -> bool:
    """Keeps the account that a provider made; False where another was there first."""
    noted = _NOTE_ACCOUNT(
        wanted=store_id,
        for_provider=provider,
        account_id=account_id,
        given_account=sealed,
        given_index=index,
    )
    return await call_as_service(database, noted)


async def forget_account(database: Database, account_id: UUID) -> None:
    """Forgets an account that its provider does not know any more."""
    await call_as_service(database, _FORGET_ACCOUNT(wanted=account_id))


async def due_transfer(database: Database, provider: str, dispute: str) -> DueTransfer:
    """What is due of a disputed payment by now."""
    wanted = _DUE_TRANSFER(from_provider=provider, dispute=dispute)
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(wanted.sql, *wanted.values)
    assert row is not None
    return DueTransfer(**row)


async def note_transfer(database: Database, provider: str, dispute: str, step: str) -> None:
    """Notes that a step was taken."""
    await call_as_service(
        database, _NOTE_TRANSFER(from_provider=provider, dispute=dispute, step=step)
    )


def create_store(
    problems: Problems, given: Mapping[str, Any], idempotency_key: str
) -> FunctionCall[UUID]:
    """Opens a store of the actor's; gives it. What is wrong is told with the `problems` before."""
    written = written_store(given)
    problems.add(problems_of_store(written))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _CREATE(given=written, idempotency_key=idempotency_key)


def update_store(
    problems: Problems, store_id: UUID, given: Mapping[str, Any]
) -> FunctionCall[UUID]:
    """Changes what is given of a store of the actor's; gives it."""
    written = written_store(given)
    problems.add(problems_of_store(written))
    problems.refuse()
    return _UPDATE(wanted=store_id, given=written)


def save_creator_profile(problems: Problems, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Changes what the actor says of themselves as a seller; gives the actor."""
    problems.add(problems_of_creator(given))
    problems.refuse()
    return _SAVE_CREATOR(given=given)
