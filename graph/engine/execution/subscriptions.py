"""Subscriptions: the state now, then each event's row as it was, rendered by the selection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, Self

import orjson
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    VariableNode,
    get_named_type,
)
from sqlalchemy import FromClause, cast, null, true

from db.core.access import is_public
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.outages import unavailable
from db.core.statement_functions import SEEN_OF_EVENTS
from graph.engine import specs
from graph.engine.documents.operation import Operation, Variables
from graph.engine.documents.store import Documents
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.event_access import EventAccess, GroupKey, MembersUnknown
from graph.engine.planning.arguments import argument_values
from graph.engine.planning.json_parts import TEXT, Json, build_object
from graph.engine.planning.named_rows import (
    NAMED,
    NOTHING_BUT_THE_ROW,
    only,
    parent_row,
    require_named,
)
from graph.engine.planning.parameters import Parameters, Request
from graph.engine.planning.planner import Planner
from graph.engine.planning.planning import Planning
from graph.engine.planning.rows import as_object, table_behind
from graph.engine.planning.snapshots import (
    NeedsDatabase,
    Read,
    SnapshotReader,
    columns_asked_for,
    global_id_of,
)
from graph.engine.planning.statements import Statement, make_statement
from graph.engine.specs import spec_of
from graph.shared.answer_memory import SMALL_BYTES, Room
from graph.shared.changes import ChangeKind
from graph.shared.errors import RequestError, domain_error
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


# Where the status of a row that grows stands beside what was asked for.
_STATE = "1"
_STATUS_OF_THE_ROW = only("status")


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


class SubscriptionPlan:
    """The statements of one subscription: one reads the state now, one reads an event's row.

    Where several tables share its topic, there is a plan for the rows of each beside it, and
    `of_event` gives the one for an event; such a plan reads no state now.
    """

    def __init__(self, planning: Planning, joint: str | None = None) -> None:
        root, fields = planning.root()
        if len(fields) != 1:
            raise _refused("A subscription has exactly one field.")
        ((self.key, self.nodes),) = fields.items()
        self.definition = root.fields[self.nodes[0].name.value]
        spec = spec_of(self.definition)
        assert isinstance(spec, specs.Live)
        self.spec = spec if joint is None else replace(spec, field=joint)
        self.payload_type = as_object(get_named_type(self.definition.type))
        self.row_type = as_object(get_named_type(self.payload_type.fields[self.spec.field].type))
        self._planning = planning
        self.fields = planning.selections.collect(
            self.payload_type, [node.selection_set for node in self.nodes]
        )
        model = table_behind(self.row_type).model
        self.access = EventAccess(table_behind(self.row_type).table)
        self._deferred = self._asked_for() & set(model.watch.deferred if model.watch else ())
        self.is_public = is_public(table_behind(self.row_type).table)
        seen = cast(SEEN_OF_EVENTS.of(), TEXT)
        if joint is None:
            self.now = self._statement(self._current, ("snapshot", seen), growth=spec.growth)
        self.event = self._statement(self._of_event)
        self.from_snapshot = self._snapshot_readers()
        self._global_id = global_id_of(self.row_type)
        self.joint = {
            table_behind(plan.row_type).table.name: plan
            for plan in (SubscriptionPlan(planning, one) for one in spec.joint if joint is None)
        }

    def _statement(
        self,
        make: Callable[[Planner, str, list[FieldNode]], Json],
        *beside: tuple[str, Json],
        growth: specs.Growth | None = None,
    ) -> Statement:
        planner = self._planning.planner(Parameters())
        if growth is not None and self._asks_for(growth.field):
            column = table_behind(self.row_type).table.primary_key.columns[0]
            key = planner.parameters.key((self.spec.field,), column.type)
            beside += (("growth", cast(growth.so_far.of(key), TEXT)),)
        rows = [
            (key, make(planner, key, nodes))
            for key, nodes in self.fields.items()
            if nodes[0].name.value == self.spec.field
        ]
        if not rows and self.spec.entity_argument is not None and self.spec.within is None:
            # Who asks for the cursor alone still learns that there is no such row.
            rows.append((NAMED, make(planner, NAMED, [NOTHING_BUT_THE_ROW])))
        if beside and self.spec.within is not None:
            rows.append((NAMED, parent_row(planner, self._planning.schema, self.spec)))
        if growth is not None:
            rows.append((_STATE, make(planner, _STATE, [_STATUS_OF_THE_ROW])))
        # Response keys may be anything, so the rows stand in an object of their own.
        whole = build_object([("rows", build_object(rows)), *beside])
        finishers = [replace(f, path=("rows", *f.path)) for f in planner.finishers]
        return make_statement(whole, planner.parameters, finishers)

    def _asks_for(self, name: str) -> bool:
        return any(nodes[0].name.value == name for nodes in self.fields.values())

    def _asked_for(self) -> set[str]:
        return {
            column
            for nodes in self.fields.values()
            if nodes[0].name.value == self.spec.field
            for column in columns_asked_for(self._planning.selections, self.row_type, nodes)
        }

    def _current(self, planner: Planner, key: str, nodes: list[FieldNode]) -> Json:
        if self.spec.current == "nothing":
            return null()
        source = planner.source(self.row_type)
        if self.spec.current == "only":
            return planner.row(self.row_type, nodes, (key,), source, true())
        column = source.c[table_behind(self.row_type).key]
        wanted = (
            planner.parameters.actor()
            if self.spec.entity_argument is None
            else planner.parameters.key((self.spec.field,), column.type)
        )
        return planner.row(self.row_type, nodes, (key,), source, column == wanted)

    def _of_event(self, planner: Planner, key: str, nodes: list[FieldNode]) -> Json:
        source: FromClause = planner.snapshot_source(self.row_type, self._deferred)
        return planner.row(self.row_type, nodes, (key,), source)

    def _snapshot_readers(self) -> dict[str, Read] | None:
        """How each row of the payload is read from a snapshot; nothing when it takes SQL."""
        if self._deferred:
            return None
        reader = SnapshotReader(self._planning.selections, self._planning.renderer.for_field)
        try:
            return {
                key: reader.object(self.row_type, nodes)
                for key, nodes in self.fields.items()
                if nodes[0].name.value == self.spec.field
            }
        except NeedsDatabase:
            return None

    def variables_below(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The variables that the selection may depend on: not those of `after` and `id` alone."""
        own = {
            argument.value.name.value
            for argument in self.nodes[0].arguments or ()
            if isinstance(argument.value, VariableNode)
        }
        return {name: value for name, value in variables.items() if name not in own}

    def of_event(self, event: Any) -> SubscriptionPlan | None:
        """The plan for the table that an event is of; nothing for one that is unknown here."""
        return self.joint.get(event.snapshot["table"]) if self.joint else self

    def of_gone(self, event: Any) -> bytes | None:
        """The item of a row that is gone; nothing where the payload cannot say so."""
        if self.spec.gone is None:
            return None
        gone_id = self._global_id(event.snapshot)
        return self.response({}, event.cursor, ChangeKind.DELETED, gone_id)

    def passes_over(self, event: Any) -> bool:
        """Whether the stream shows nothing of such a change."""
        return self.spec.only_new and event.change != ChangeKind.ADDED.value

    def of_snapshot(self, event: Any, actor: Actor) -> bytes | None:
        """The item of an event whose snapshot holds all that was selected; made once for all."""
        if self.passes_over(event):
            return None
        made: dict[Any, bytes | None] = event.encoded
        if self.access.is_for_all and self in made:
            # Gone or not, it is the same for everybody.
            return made[self]
        if self.access.may_read(event, actor):
            if self not in made:
                made[self] = self._rendered(event)
            return made[self]
        gone = self.of_gone(event) if self.access.may_know(event, actor) else None
        if self.access.is_for_all:
            made[self] = gone
        return gone

    def _rendered(self, event: Any) -> bytes:
        assert self.from_snapshot is not None
        rows = {key: read(event.snapshot) for key, read in self.from_snapshot.items()}
        return self.response(
            rows, event.cursor, ChangeKind(event.change), grown=self.grown_by(event)
        )

    def has_ended(self, now: Mapping[str, Any]) -> bool:
        """Whether a row that grows had ended when the stream began."""
        growth = self.spec.growth
        return growth is not None and now["rows"][_STATE]["status"] in growth.ended

    def ends_with(self, event: Any) -> bool:
        """Whether an event is the last of a row that grows."""
        growth = self.spec.growth
        return growth is not None and event.snapshot.get("status") in growth.ended

    def grown_by(self, event: Any) -> str:
        """What the row of an event has more than before."""
        growth = self.spec.growth
        return event.snapshot.get(growth.field) or "" if growth is not None else ""

    def response(
        self,
        rows: Mapping[str, Any],
        cursor: str,
        kind: ChangeKind | None = None,
        gone_id: str | None = None,
        grown: str = "",
    ) -> bytes:
        """One item of the stream."""
        growth = self.spec.growth and self.spec.growth.field
        payload: dict[str, Any] = {}
        for key, nodes in self.fields.items():
            name = nodes[0].name.value
            if name == "cursor":
                payload[key] = cursor
            elif name == "__typename":
                payload[key] = self.payload_type.name
            elif name == self.spec.field:
                payload[key] = rows.get(key)
            elif name == self.spec.kind:
                payload[key] = kind and kind.name
            elif name == growth:
                payload[key] = grown
            else:
                payload[key] = gone_id if name == self.spec.gone else None
        # Put together anew: what orjson gives keeps 4 kB, however short it is.
        return b'{"data":' + orjson.dumps({self.key: payload}) + b"}"


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
            raise _refused(
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


def _refused(message: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> RequestError:
    return RequestError([GraphQLError(message)], code)
