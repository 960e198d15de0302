"""Subscriptions: the state now, then each event's row as it was, rendered by the selection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self

import orjson
from graphql import GraphQLSchema, OperationType

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.outages import unavailable
from graph.engine.documents.operation import Operation, Variables
from graph.engine.documents.store import Documents
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.event_access import GroupKey, MembersUnknown
from graph.engine.execution.subscription_plan import SubscriptionPlan, refused
from graph.engine.planning.arguments import argument_values
from graph.engine.planning.named_rows import require_named
from graph.engine.planning.parameters import Request
from graph.engine.planning.rows import table_behind
from graph.engine.planning.statements import Statement
from graph.shared.answer_memory import SMALL_BYTES, Room
from graph.shared.changes import ChangeKind
from graph.shared.errors import domain_error
from graph.shared.relay import uuid_from_global_id

# A database that restarts is waited for; after that the client is told to come back. No stream may
# be silent for five seconds while its changes wait.
DATABASE_WAIT_SECONDS = 4.0
RETRY_SECONDS = 0.2
# So long may what a subscriber has missed take to come.
MISSED_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a stream: the response, and the cursor that resumes behind it, if any does."""

    body: bytes
    cursor: str | None = None


class LiveEngine(Protocol):
    """What a subscription needs of the engine."""

    @property
    def schema(self) -> GraphQLSchema: ...
    @property
    def documents(self) -> Documents: ...
    def subscription_plan(
        self, operation: Operation, variables: Variables, *, signed_in: bool
    ) -> SubscriptionPlan: ...
    async def read(self, statement: Statement, request: Request, actor: Actor) -> bytes: ...


class LiveEvents(Protocol):
    """A subscription of the hub: entered, told what the first read has shown, then iterated."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: Any) -> None: ...
    def skip_seen(self, snapshot_text: str) -> str: ...
    def deliver_past(self, deliver: Callable[[Any], bool]) -> None: ...
    async def know_members(self, group: GroupKey) -> None: ...
    def __aiter__(self) -> AsyncIterator[Any]: ...


Subscribe = Callable[..., LiveEvents]
# Sends a result at once; false when the client has too much to read already.
SendNow = Callable[[bytes], bool]


class Subscriber:
    """Runs one subscription for one client."""

    def __init__(
        self,
        engine: LiveEngine,
        subscribe: Subscribe,
        actor: Callable[[], Actor],
        enter: Callable[..., Awaitable[Room]] | None = None,
    ) -> None:
        self._engine = engine
        self._subscribe = subscribe
        self._actor = actor
        self._enter = enter

    def stream(
        self,
        text: str,
        given_variables: Mapping[str, Any],
        operation_name: str | None,
        resume_after: str | None = None,
        send_now: SendNow | None = None,
    ) -> AsyncGenerator[Item]:
        """The items of the stream; `RequestError` at once when it cannot be planned.

        `resume_after` is a cursor that stands above the field's own `after`. What `send_now` has
        sent is not among the items.
        """
        operation = self._engine.documents.operation(text, operation_name)
        assert operation.kind is OperationType.SUBSCRIPTION
        variables = coerce_variables(self._engine.schema, operation, given_variables)
        signed_in = self._actor().user_id is not None
        plan = self._engine.subscription_plan(operation, variables, signed_in=signed_in)
        arguments = argument_values(plan.definition, plan.nodes[0], variables)
        after = resume_after or arguments.get("after")
        return self._items(plan, variables, arguments, after, send_now)

    async def _items(
        self,
        plan: SubscriptionPlan,
        variables: Any,
        arguments: dict[str, Any],
        after: str | None,
        send_now: SendNow | None,
    ) -> AsyncGenerator[Item]:
        actor = self._actor()
        if actor.user_id is None and not plan.is_public:
            raise refused(
                "Sign in first, then send the access token in connection_init or Authorization.",
                ErrorCode.UNAUTHENTICATED,
            )
        entity = self._entity(plan, arguments)
        subscription = self._subscribe(
            topic=plan.spec.topic,
            user_id=None if plan.access.is_for_all else actor.user_id,
            entity_id=str(entity) if entity else None,
            after=after,
        )
        async with subscription as events:
            now = await self._read(plan.now, Request(variables, None, {(plan.spec.field,): entity}))
            require_named(plan.spec, now["rows"])
            if after is None:
                cursor = events.skip_seen(now["snapshot"])
                first = plan.response(now["rows"], cursor, grown=now.get("growth") or "")
                yield Item(first, cursor)
            has_ended = plan.has_ended(now)
            if has_ended and after is None:
                return
            if send_now is not None and plan.joint:
                events.deliver_past(partial(self._deliver_joint, plan, send_now))
            elif send_now is not None and plan.from_snapshot is not None:
                events.deliver_past(partial(self._deliver, plan, send_now))
            async for event in _last_of(events) if has_ended else events:
                room = await self._room(variables)
                try:
                    of_table = plan.of_event(event)
                    body = None
                    if of_table is not None:
                        body = await self._shown(of_table, variables, event, events)
                    if body is not None:
                        yield Item(body, event.cursor)
                finally:
                    if room is not None:
                        room.leave()
                if plan.ends_with(event):
                    return

    async def _room(self, variables: Any) -> Room | None:
        """Room for an item that may be large, until its client has read it."""
        if self._enter is None or variables.room_bytes <= SMALL_BYTES:
            return None
        try:
            return await self._enter(user=self._actor().user_id, size_bytes=variables.room_bytes)
        except DomainError:
            # Not an error of the operation's: the client resumes.
            raise unavailable() from None

    @staticmethod
    def _entity(plan: SubscriptionPlan, arguments: dict[str, Any]) -> Any:
        name = plan.spec.entity_argument
        if name is None:
            return None
        prefix = plan.spec.within or table_behind(plan.row_type).prefix
        return uuid_from_global_id(arguments[name], prefix, name)

    async def _shown(
        self, plan: SubscriptionPlan, variables: Any, event: Any, events: LiveEvents
    ) -> bytes | None:
        """The item of an event, made once for all who may see it and select the same."""
        while True:
            try:
                return await self._item(plan, variables, event)
            except MembersUnknown as unknown:
                await events.know_members(unknown.group)

    async def _item(self, plan: SubscriptionPlan, variables: Any, event: Any) -> bytes | None:
        actor = self._actor()
        if plan.from_snapshot is not None:
            return plan.of_snapshot(event, actor)
        if plan.passes_over(event):
            return None
        if not plan.access.may_read(event, actor):
            return plan.of_gone(event) if plan.access.may_know(event, actor) else None
        shown = await self._read_event(plan, variables, event, actor)
        if None in shown["rows"].values():
            # Deleted meanwhile; or the actor has left a group, and is told nothing more of it.
            return None if plan.access.has_groups else plan.of_gone(event)
        kind = ChangeKind(event.change)
        return plan.response(shown["rows"], event.cursor, kind, grown=plan.grown_by(event))

    def _deliver(self, plan: SubscriptionPlan, send_now: SendNow, event: Any) -> bool:
        """Sends an event without this subscriber's task; false when that cannot be now."""
        if plan.ends_with(event):
            return False  # with it, the stream ends
        body = plan.of_snapshot(event, self._actor())
        return body is None or send_now(body)

    def _deliver_joint(self, plan: SubscriptionPlan, send_now: SendNow, event: Any) -> bool:
        """The same, where several tables share the topic."""
        of_table = plan.of_event(event)
        if of_table is None or of_table.from_snapshot is not None:
            return of_table is None or self._deliver(of_table, send_now, event)
        return False

    async def _read_event(
        self, plan: SubscriptionPlan, variables: Any, event: Any, actor: Actor
    ) -> dict[str, Any]:
        """The event's row with its related rows, read once for all sockets of an actor."""
        if variables.room_bytes > SMALL_BYTES:
            # Kept for the others, it would take memory as long as the slowest of them.
            return await self._read(plan.event, Request(variables, None, snapshot=event.snapshot))
        selected = plan.variables_below(variables.coerced)
        key = (plan, actor.user_id, orjson.dumps(selected, default=str))
        reading: asyncio.Task[dict[str, Any]] | None = event.encoded.get(key)
        if reading is None:
            request = Request(variables, None, snapshot=event.snapshot)
            reading = asyncio.create_task(self._read(plan.event, request))
            reading.add_done_callback(_seen)
            event.encoded[key] = reading
        # One who leaves must not take the answer away from the others.
        return await asyncio.shield(reading)

    async def _read(self, statement: Statement, request: Request) -> dict[str, Any]:
        """One answer as what the actor may see now; waits a while for a database that is away."""
        try:
            async with asyncio.timeout(DATABASE_WAIT_SECONDS):
                while True:
                    if (found := await self._read_once(statement, request)) is not None:
                        return found
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            raise unavailable() from None

    async def _read_once(self, statement: Statement, request: Request) -> dict[str, Any] | None:
        """Nothing when the database is away."""
        actor = self._actor()
        request.actor_user_id = actor.user_id
        try:
            answer = await self._engine.read(statement, request, actor)
        except Exception as error:
            known = domain_error(error)
            if known is None or known.code is not ErrorCode.SERVICE_UNAVAILABLE:
                raise
            return None
        found: dict[str, Any] = orjson.loads(answer)
        return found


async def _last_of(events: LiveEvents) -> AsyncIterator[Any]:
    """What was missed of a row that has ended: who comes back behind its end waits for nothing."""
    coming = aiter(events)
    while True:
        try:
            async with asyncio.timeout(MISSED_WAIT_SECONDS):
                event = await anext(coming)
        except (StopAsyncIteration, TimeoutError):
            return
        yield event


def _seen(task: asyncio.Task[Any]) -> None:
    """A failure is told to whoever waits; when nobody does any more, it is no news."""
    if not task.cancelled():
        task.exception()
