"""Push notifications for tests: devices that are registered, and how their deliveries ended."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from auth.push_tokens import PushTokens
from db.core.actor import Actor
from db.core.commands import call
from db.core.pool import Database
from db.push import operations
from db.push.tables import DevicePlatform
from jobs.core.declare import RetryLater, WorkerServices
from jobs.push import send_push
from settings import Settings


def apns_token() -> str:
    """A device token as an app on an iPhone has it."""
    return uuid4().hex * 2


def fcm_token() -> str:
    """A registration token as Firebase gives it."""
    return f"{uuid4().hex[:22]}:APA91b{uuid4().hex}"


async def open_session(owner: asyncpg.Connection, user_id: UUID) -> UUID:
    """A session of a user's."""
    session_id: UUID = await owner.fetchval(
        "insert into sessions (user_id, expires_at) values ($1, now() + interval '1 day')"
        " returning id",
        user_id,
    )
    return session_id


@dataclass
class Devices:
    """Registers devices and queues notifications in the test database."""

    database: Database
    owner: asyncpg.Connection
    settings: Settings
    sessions: dict[UUID, UUID] = field(default_factory=dict)

    async def register(
        self, actor: Actor, token: str, platform: str = "ANDROID", session_id: UUID | None = None
    ) -> UUID:
        """Registers a token of a user's, each in a session of its own."""
        assert actor.user_id is not None
        session_id = session_id or await open_session(self.owner, actor.user_id)
        token_hash, sealed = PushTokens(self.settings).seal(token)
        command = operations.register(
            session_id, DevicePlatform(platform), token, token_hash=token_hash, sealed=sealed
        )
        async with self.database.transaction(actor) as transaction:
            token_id = await call(transaction, command)
        self.sessions[token_id] = session_id
        return token_id

    async def notify(self, actor: Actor, **given: Any) -> UUID:
        """A new notification of a user's; gives its id."""
        row = {"type": "GENERAL", "title_key": "t", "message_key": "m", "data": {}, **given}
        notification_id: UUID = await self.owner.fetchval(
            "insert into notifications (user_id, type, title_key, message_key, data)"
            " values ($1, $2, $3, $4, $5) returning id",
            actor.user_id, row["type"], row["title_key"], row["message_key"], json.dumps(row["data"]),
        )  # fmt: skip
        return notification_id

    async def jobs(self, *notification_ids: UUID) -> list[list[UUID]]:
        """The jobs that deliver some notifications, each with those that it delivers."""
        rows = await self.owner.fetch(
            "select convert_from(payload, 'UTF8')::json as payload from queue.pgqueuer"
            " where entrypoint = 'send_push' order by id"
        )
        jobs = [[UUID(i) for i in _parsed(r["payload"])["notification_ids"]] for r in rows]
        return [job for job in jobs if set(job) & set(notification_ids)]

    async def deliveries(self, *notification_ids: UUID) -> list[asyncpg.Record]:
        """How their deliveries stand."""
        return list(
            await self.owner.fetch(
                "select * from push_deliveries where notification_id = any($1::uuid[]) order by id",
                list(notification_ids),
            )
        )

    async def is_registered(self, token_id: UUID) -> bool:
        """Whether a token is there."""
        return bool(
            await self.owner.fetchval("select count(*) from push_tokens where id = $1", token_id)
        )


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


async def deliver(
    services: WorkerServices, *notification_ids: UUID, queued_at: datetime | None = None
) -> float | None:
    """Runs the job of some notifications once; gives after how many seconds it wants another run."""
    try:
        await send_push(
            services,
            notification_ids=list(notification_ids),
            queued_at=queued_at or datetime.now(UTC),
        )
    except RetryLater as later:
        return later.seconds
    return None
