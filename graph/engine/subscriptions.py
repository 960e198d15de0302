"""Subscriptions: the state now, then every event as the row was, each shaped by the selection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import orjson
from graphql import FieldNode, GraphQLError, OperationType, get_named_type
from sqlalchemy import FromClause, Text, cast, func, null

from db.actor import Actor
from db.errors import ErrorCode, not_found
from graph.engine import specs
from graph.engine.arguments import argument_values
from graph.engine.parameters import Parameters, Request
from graph.engine.plan import Json, Planner, as_object, table_behind
from graph.engine.specs import spec_of
from graph.engine.statements import Statement, make_statement
from graph.engine.variables import coerce_variables
from graph.errors import RequestError
from graph.relay import uuid_from_global_id

if TYPE_CHECKING:
    from graph.engine.engine import Engine, Planning


class LiveEvents(Protocol):
    """A watch on the hub: entered, told what the first read has shown, then iterated."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: Any) -> None: ...
    def skip_seen(self, snapshot_text: str) -> str: ...
    def __aiter__(self) -> AsyncIterator[Any]: ...


Watch = Callable[..., LiveEvents]


class SubscriptionPlan:
    """The statements of one subscription: one reads the state now, one reads an event's row."""

    def __init__(self, planning: Planning) -> None:
        root, fields = planning.root()
        if len(fields) != 1:
            raise _refused("A subscription has exactly one field.")
        ((self.key, self.nodes),) = fields.items()
        self.definition = root.fields[self.nodes[0].name.value]
        spec = spec_of(self.definition)
        assert isinstance(spec, specs.Live)
        self.spec = spec
        self.payload_type = as_object(get_named_type(self.definition.type))
        self.row_type = as_object(get_named_type(self.payload_type.fields[spec.field].type))
        self._planning = planning
        self.fields = planning.selections.collect(
            self.payload_type, [node.selection_set for node in self.nodes]
        )
        self.now = self._statement(self._current)
        self.event = self._statement(self._of_event)

    def _statement(self, make: Callable[[Planner, str, list[FieldNode]], Json]) -> Statement:
        planner = self._planning.planner(Parameters())
        rows = [
            (key, make(planner, key, nodes))
            for key, nodes in self.fields.items()
            if nodes[0].name.value == self.spec.field
        ]
        snapshot = cast(func.pg_current_snapshot(), Text)
        from graph.engine.plan import build_object

        # Response keys may be anything, so the rows stand in an object of their own.
        whole = build_object([("rows", build_object(rows)), ("snapshot", snapshot)])
        finishers = [replace(f, path=("rows", *f.path)) for f in planner.finishers]
        return make_statement(whole, planner.parameters, finishers)

    def _current(self, planner: Planner, key: str, nodes: list[FieldNode]) -> Json:
        if self.spec.current == "nothing":
            return null()
        source = planner.source(self.row_type)
        column = source.c[table_behind(self.row_type).key]
        wanted = (
            planner.parameters.actor()
            if self.spec.entity_argument is None
            else planner.parameters.key((self.spec.field,), column.type)
        )
        return planner.row(self.row_type, nodes, (key,), source, column == wanted)

    def _of_event(self, planner: Planner, key: str, nodes: list[FieldNode]) -> Json:
        source: FromClause = planner.snapshot_source(self.row_type)
        return planner.row(self.row_type, nodes, (key,), source)

    def response(self, rows: Mapping[str, Any], cursor: str) -> bytes:
        """One item of the stream."""
        payload: dict[str, Any] = {}
        for key, nodes in self.fields.items():
            match nodes[0].name.value:
                case "cursor":
                    payload[key] = cursor
                case "__typename":
                    payload[key] = self.payload_type.name
                case _:
                    payload[key] = rows[key]
        return orjson.dumps({"data": {self.key: payload}})


class Subscriber:
    """Runs one subscription for one client."""

    def __init__(self, engine: Engine, watch: Watch, actor: Callable[[], Actor]) -> None:
        self._engine = engine
        self._watch = watch
        self._actor = actor

    async def stream(
        self, text: str, given_variables: Mapping[str, Any], operation_name: str | None
    ) -> AsyncGenerator[bytes]:
        """The items of the stream; `RequestError` or `DomainError` before the first one."""
        operation = self._engine.documents.operation(text, operation_name)
        assert operation.kind is OperationType.SUBSCRIPTION
        variables = coerce_variables(self._engine.schema, operation, given_variables)
        plan = self._engine.subscription_plan(operation, variables)
        arguments = argument_values(plan.definition, plan.nodes[0], variables)
        async with aclosing(self._items(plan, variables, arguments)) as items:
            async for item in items:
                yield item

    async def _items(
        self, plan: SubscriptionPlan, variables: Any, arguments: dict[str, Any]
    ) -> AsyncGenerator[bytes]:
        actor = self._actor()
        if actor.user_id is None:
            raise _refused(
                "Sign in first, then send the access token in connection_init.",
                ErrorCode.UNAUTHENTICATED,
            )
        entity = self._entity(plan, arguments)
        after = arguments.get("after")
        watch = self._watch(
            topic=plan.spec.topic,
            user_id=actor.user_id,
            entity_id=str(entity) if entity else None,
            after=after,
        )
        async with watch as events:
            now = await self._read(plan.now, Request(variables, None, {(plan.spec.field,): entity}))
            if plan.spec.entity_argument is not None and None in now["rows"].values():
                raise not_found(plan.spec.field, (plan.spec.entity_argument,))
            if after is None:
                yield plan.response(now["rows"], events.skip_seen(now["snapshot"]))
            async for event in events:
                request = Request(variables, None, snapshot=event.snapshot)
                shown = await self._read(plan.event, request)
                if None not in shown["rows"].values():
                    yield plan.response(shown["rows"], event.cursor)

    @staticmethod
    def _entity(plan: SubscriptionPlan, arguments: dict[str, Any]) -> Any:
        name = plan.spec.entity_argument
        if name is None:
            return None
        return uuid_from_global_id(arguments[name], table_behind(plan.row_type).prefix, name)

    async def _read(self, statement: Statement, request: Request) -> dict[str, Any]:
        actor = self._actor()
        request.actor_user_id = actor.user_id
        answer = await self._engine.read(statement, request, actor)
        found: dict[str, Any] = orjson.loads(answer)
        return found


def _refused(message: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> RequestError:
    return RequestError([GraphQLError(message)], code)
