"""Ends the streams of who may not watch any more: a locked user, a row or membership taken away."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, Protocol
from uuid import UUID

import structlog
from sqlalchemy import MetaData, Select, Table, Uuid, bindparam, column, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from db.accounts import tables
from db.core.access import access_of, audiences
from db.core.actor import SERVICE
from db.core.errors import DomainError, ErrorCode, not_found
from db.core.pool import Database, Transaction
from db.core.predicates import Asking
from db.core.registry import metadata
from graph.live.subscriptions import EventSubscription

# Twice within the five seconds that are promised.
LOOK_EVERY_SECONDS = 2.0
LOOK_TIMEOUT_SECONDS = 2.0

log = structlog.get_logger(__name__)


_ASKED = func.unnest(bindparam("ids", type_=ARRAY(Uuid()))).column_valued("asked_id")
# Nearly all are active, so the others are the shorter answer.
INACTIVE_USERS = select(_ASKED).where(
    ~exists().where(tables.User.id == _ASKED, tables.User.status == tables.UserStatus.ACTIVE)
)


def private_by_topic(metadata: MetaData) -> dict[str, Table]:
    """The tables whose rows are watched one by one and not by everybody, by topic."""
    return {
        watch.topic: table
        for table in metadata.tables.values()
        if (watch := table.info.get("watch")) is not None
        and any(audience.kind != "everybody" for audience in audiences(table))
        and "id" in table.c
        and watch.entity == "id"
    }


class Watched(Protocol):
    """The subscriptions there are, found by what can be lost: nobody goes through all of them."""

    def users(self) -> set[UUID]:
        """Who has any that are personal."""

    def of_user(self, user_id: UUID) -> list[EventSubscription]:
        """Those of one user."""

    def of_one_row(self) -> list[EventSubscription]:
        """Those that are personal and watch a single row."""


class AccessWatch:
    """Looks, every two seconds, whether the users and rows of all subscriptions are still there.

    Sessions that end are seen to elsewhere (`Clients`); this is for what no token tells.
    """

    def __init__(self, database: Database, watched: Watched, metadata: MetaData = metadata) -> None:
        self._database = database
        self._watched = watched
        self._tables = private_by_topic(metadata)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin looking."""
        self._task = asyncio.create_task(self._watch(), name="live-access")

    async def stop(self) -> None:
        """Stop looking."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """End at once every subscription that has lost its user or its row."""
        users, single = list(self._watched.users()), self._watched.of_one_row()
        if not users:
            return
        async with self._database.transaction(SERVICE) as transaction:
            rows = await transaction.fetch_all(INACTIVE_USERS, ids=users)
            inactive = [row["asked_id"] for row in rows]
            for topic, table in self._tables.items():
                await self._look_at_rows(
                    transaction, table, [one for one in single if one.filter.topic == topic]
                )
        for user_id in inactive:
            for one in self._watched.of_user(user_id):
                one.fail(_no_user())

    @staticmethod
    async def _look_at_rows(
        transaction: Transaction, table: Table, single: list[EventSubscription]
    ) -> None:
        if not single:
            return
        asked = {(one.filter.user_id, one.filter.entity_id) for one in single}
        users, keys = zip(*asked, strict=True)
        rows = await transaction.fetch_all(
            _readable(table), users=users, keys=[UUID(key) for key in keys]
        )
        there = {(row["user_id"], str(row["id"])) for row in rows}
        for one in single:
            if (one.filter.user_id, one.filter.entity_id) not in there:
                one.fail(not_found("object", ("id",)))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                    await self.look()
            except Exception as error:
                log.warning("live.access_look_failed", error=error)


@cache
def _readable(table: Table) -> Select[Any]:
    """Which of the rows named by `keys` there are for the users beside them."""
    pairs = (bindparam(name, type_=ARRAY(Uuid())) for name in ("users", "keys"))
    named = column("user_id", Uuid()), column("id", Uuid())
    asked = func.unnest(*pairs).table_valued(*named, name="asked").render_derived()
    may_read = Asking(asked.c.user_id).condition(table, table, access_of(table).read)
    found = select(asked.c.user_id, asked.c.id)
    return found.select_from(asked.join(table, table.c.id == asked.c.id)).where(may_read)


def _no_user() -> DomainError:
    return DomainError(ErrorCode.UNAUTHENTICATED, "This account is locked or gone.")
