"""Commands on push tokens; beginning, claiming and ending the delivery of a notification."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import refuse_any
from db.core.pool import Database
from db.push.rules import problems_of_token, provider_of
from db.push.tables import DevicePlatform, PushProvider, PushStatus

_REGISTER = SqlFunction[UUID](
    "app.register_push_token",
    "uuid",
    asking_session="uuid",
    token_platform="text",
    token_provider="text",
    hash="bytea",
    sealed="bytea",
)
_REMOVE = SqlFunction[UUID]("app.remove_push_token", "uuid", hash="bytea")
_BEGIN = SqlFunction[Any](
    "app.begin_pushes",
    "table(action text, delivery_id uuid, attempt integer, provider text, platform text,"
    " token_hash bytea, sealed_token bytea, notification_id uuid, type text, title_key text,"
    " message_key text, title text, message text, data jsonb, parameters jsonb, unread bigint,"
    " created_at timestamp with time zone, wait_seconds double precision)",
    wanted="uuid[]",
    queued_at="timestamp with time zone",
    providers="text[]",
    ready="text[]",
)
_CLAIM = SqlFunction[bool]("app.claim_push", "boolean", wanted="uuid", fenced_attempt="integer")
_END = SqlFunction[bool](
    "app.end_push",
    "boolean",
    wanted="uuid",
    fenced_attempt="integer",
    outcome="text",
    reason="text",
    wait="interval",
    token_is_dead="boolean",
    dead_since="timestamp with time zone",
)
_GIVE_UP = SqlFunction[int]("app.give_up_pushes", "integer", wanted="uuid[]", reason="text")


def check_token(token: str) -> None:
    """Refuses what can be no push token."""
    refuse_any(problems_of_token(token))


def register(
    session_id: UUID, platform: DevicePlatform, token: str, *, token_hash: bytes, sealed: bytes
) -> FunctionCall[UUID]:
    """Registers a token for a session of the actor's; gives its row's id."""
    return _REGISTER(
        asking_session=session_id,
        token_platform=platform.value,
        token_provider=provider_of(platform, token).value,
        hash=token_hash,
        sealed=sealed,
    )


def remove(token_hash: bytes) -> FunctionCall[UUID]:
    """Removes a token of the actor's; NOT_FOUND for any other."""
    return _REMOVE(hash=token_hash)


@dataclass(frozen=True, slots=True)
class BegunPush:
    """An attempt to deliver a notification to one token; `attempt` fences it.

    `title` and `message` are in the user's language, or the keys themselves where nobody has
    written a text; `parameters` fill them. `unread` is how many notifications the user has not
    read.
    """

    delivery_id: UUID
    attempt: int
    provider: PushProvider
    platform: DevicePlatform
    token_hash: bytes
    sealed_token: bytes = field(repr=False)
    notification_id: UUID
    type: str
    title_key: str
    message_key: str
    title: str
    message: str
    data: dict[str, Any]
    parameters: dict[str, Any]
    unread: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WaitingPush:
    """A delivery that can't be tried yet."""

    provider: PushProvider
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class BegunPushes:
    """What a worker has to do for some notifications; `lost` of them died with their worker."""

    begun: Sequence[BegunPush]
    waiting: Sequence[WaitingPush]
    lost: int


async def begin_pushes(
    database: Database,
    notification_ids: Sequence[UUID],
    queued_at: datetime,
    *,
    providers: Collection[PushProvider],
    ready: Collection[PushProvider],
) -> BegunPushes:
    """The next attempt at every delivery that may be tried, by the providers that are `ready`."""
    async with database.pools[SERVICE.role].connection() as connection:
        rows = await connection.raw.fetch(
            _BEGIN.sql, list(notification_ids), queued_at, list(providers), list(ready)
        )
    waiting = [
        WaitingPush(PushProvider(row["provider"]), row["wait_seconds"])
        for row in rows
        if row["action"] == "WAIT"
    ]
    begun = [_begun(dict(row)) for row in rows if row["action"] == "SEND"]
    return BegunPushes(begun, waiting, len(rows) - len(waiting) - len(begun))


def _begun(row: dict[str, Any]) -> BegunPush:
    del row["action"], row["wait_seconds"]
    row["provider"] = PushProvider(row["provider"])
    row["platform"] = DevicePlatform(row["platform"])
    return BegunPush(**row)


async def claim_push(database: Database, push: BegunPush) -> bool:
    """Notes that it is handed over now; False when it may not be, or is not wanted any more.

    Whatever follows, no other attempt hands it over unless this one says that nobody took it.
    """
    claimed = _CLAIM(wanted=push.delivery_id, fenced_attempt=push.attempt)
    return await call_as_service(database, claimed)


async def end_push(
    database: Database,
    push: BegunPush,
    outcome: PushStatus,
    reason: str | None = None,
    *,
    wait_seconds: float = 0.0,
    token_is_dead: bool = False,
    dead_since: datetime | None = None,
) -> bool:
    """Notes how an attempt ended; QUEUED is for one that no provider took, to be tried again.

    A token that is dead is deleted, unless its device has registered it again meanwhile.
    """
    ended = _END(
        wanted=push.delivery_id,
        fenced_attempt=push.attempt,
        outcome=outcome.value,
        reason=reason,
        wait=timedelta(seconds=wait_seconds),
        token_is_dead=token_is_dead,
        dead_since=dead_since,
    )
    return await call_as_service(database, ended)


async def give_up_pushes(database: Database, notification_ids: Sequence[UUID], reason: str) -> int:
    """Ends what waits of some notifications' deliveries; gives how many."""
    given_up = _GIVE_UP(wanted=list(notification_ids), reason=reason)
    return await call_as_service(database, given_up)
