"""Mutations: the operation runs, then its payload is read, in one transaction or one statement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson
from asyncpg import IntegrityConstraintViolationError
from graphql import FieldNode, GraphQLObjectType, get_named_type
from sqlalchemy import ColumnElement, func, literal_column

from auth.demands import NOTHING_MORE
from db.core.actor import Actor
from db.core.commands import FunctionCall, SqlFunction, call
from db.core.errors import ErrorCode
from db.core.pool import Database, Transaction
from db.core.retries import retried
from graph.engine.execution.outcomes import Outcome, Payload, Ref
from graph.engine.planning.function_calls import (
    AnswerParameters,
    FunctionCallStatement,
    Keys,
    RereadParameters,
    call_and_answer,
    call_and_rows,
    reads_tables,
)
from graph.engine.planning.json_parts import Json, build_object, text_literal
from graph.engine.planning.parameters import ACTOR, GIVEN, RESULT, Parameters, Request
from graph.engine.planning.planner import Planner
from graph.engine.planning.planning import Planning
from graph.engine.planning.render import Writers, read, written
from graph.engine.planning.rows import table_behind
from graph.engine.planning.statements import (
    Statement,
    finish,
    finished,
    make_statement,
)
from graph.engine.specs import Mutate, backing_of, python_name
from graph.shared.context import Context
from graph.shared.errors import domain_error, user_errors

# The payload's field that shows who is asking; no operation needs to give it.
VIEWER = "viewer"

# These say that the request could not be served, not that the user chose badly.
TOP_LEVEL_CODES = frozenset(
    {
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.FORBIDDEN,
        ErrorCode.RATE_LIMITED,
        ErrorCode.SERVICE_UNAVAILABLE,
        ErrorCode.INTERNAL,
    }
)


@dataclass(frozen=True)
class Part:
    """A row of the payload: where its key stands in the outcome, where its JSON in the response."""

    attributes: tuple[str, ...]
    path: tuple[str, ...]
    type: GraphQLObjectType
    nodes: Sequence[FieldNode]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a mutation: its request's context and variables."""

    context: Context
    variables: Any


class PayloadPlan:
    """What one mutation field's selection needs from SQL and from Python."""

    def __init__(
        self,
        planning: Planning,
        payload_type: GraphQLObjectType,
        nodes: list[FieldNode],
        *,
        for_admins: bool = False,
    ) -> None:
        self._planning = planning
        self.for_admins = for_admins
        self.type = payload_type
        self.nodes = nodes
        self.parts = list(self._parts(payload_type, nodes, (), ()))
        self._calls: dict[SqlFunction[Any], FunctionCallStatement | None] = {}

    def _parts(
        self,
        graph_type: GraphQLObjectType,
        nodes: Sequence[FieldNode],
        attributes: tuple[str, ...],
        path: tuple[str, ...],
    ) -> Iterator[Part]:
        collected = self._planning.selections.collect(graph_type, [n.selection_set for n in nodes])
        for key, found in collected.items():
            name = found[0].name.value
            if name == "__typename":
                continue
            definition = graph_type.fields[name]
            named = get_named_type(definition.type)
            if not isinstance(named, GraphQLObjectType):
                continue
            place = (*attributes, python_name(definition)), (*path, key)
            if backing_of(named) is not None:
                yield Part(*place, named, found)
            else:
                yield from self._parts(named, found, *place)

    def _row(
        self, planner: Planner, part: Part, path: tuple[str, ...], *, reread: bool = False
    ) -> Json:
        backing = table_behind(part.type)
        key = planner.parameters.key(part.attributes, backing.table.c[backing.key].type)
        source = planner.reread_source(part.type, key) if reread else planner.source(part.type)
        wanted = source.c[backing.key] == key
        with planner.for_admins_too() if self.for_admins else nullcontext():
            return planner.row(part.type, part.nodes, path, source, wanted)

    async def read(self, transaction: Transaction, payload: Payload, request: Request) -> bytes:
        """The payload as JSON, its rows read in the transaction that wrote them."""
        if not self.parts:
            return self.render(payload.fields, {})
        rows = self._rows
        answer = await transaction.pooled.fetch_value(rows.sql, rows.arguments(request))
        root = orjson.loads(answer)
        finish(root, rows.finishers)
        values = {part.path: root[f"r{n}"] for n, part in enumerate(self.parts)}
        return self.render(payload.fields, values)

    def check(self, variables: Any) -> None:
        """Refuses what the payload's fields ask wrongly; called before anything is done."""
        if self.parts:
            self._rows.arguments(Request(variables, None))

    @cached_property
    def _rows(self) -> Statement:
        return self.rows_statement()

    def rows_statement(self) -> Statement:
        """The statement that reads the payload's rows by the keys an operation returned."""
        planner = self._planning.planner(Parameters())
        pairs = [
            (f"r{n}", self._row(planner, part, (f"r{n}",))) for n, part in enumerate(self.parts)
        ]
        return make_statement(build_object(pairs), planner.parameters, planner.finishers)

    def render(self, fields: Mapping[str, Any], values: Mapping[tuple[str, ...], Any]) -> bytes:
        """The payload as JSON; `errors` is empty unless the operation gave some."""
        whole = {"errors": [], **fields}
        if not values:
            return orjson.dumps(written(whole, self._plain_writers))
        return orjson.dumps(
            self._planning.renderer.object(self.type, self.nodes, whole, (), values)
        )

    @cached_property
    def _plain_writers(self) -> Writers:
        """What writes a payload without rows, the same each time."""
        return self._planning.renderer.writers(self.type, self.nodes, (), {})

    @cached_property
    def shows_viewer(self) -> bool:
        """Whether the payload is to show who is asking."""
        return any(part.attributes == (VIEWER,) for part in self.parts)

    def without_rows(self, fields: Mapping[str, Any]) -> bytes:
        """The payload of an operation that names no row: nothing is read."""
        return self.render(fields, {part.path: None for part in self.parts})

    def keys(self, payload: Payload) -> dict[tuple[str, ...], Any]:
        """The primary keys the operation returned, by where they stand."""
        keys = {}
        for part in self.parts:
            value: Any = payload.fields
            for name in part.attributes:
                value = read(value, name)
            if isinstance(value, Ref):
                keys[part.attributes] = value.key
        return keys

    def call_statement(self, outcome: Outcome) -> FunctionCallStatement | None:
        """Call and payload as one statement; nothing when that cannot be."""
        command = outcome.command
        if not isinstance(command, FunctionCall):
            return None
        if command.function not in self._calls:
            self._calls[command.function] = self._call_statement(command.function, outcome)
        return self._calls[command.function]

    def _call_statement(
        self, function: SqlFunction[Any], outcome: Outcome
    ) -> FunctionCallStatement | None:
        keys: dict[tuple[str, ...], str] = {(VIEWER,): ACTOR}
        for name, key in outcome.rows.items():
            keys[name,] = GIVEN if isinstance(key, Ref) else key
        reread = RereadParameters(keys)
        planner = self._planning.planner(reread)
        planner.rereads = True
        value = self._call_payload(planner, keys, outcome.fields, reread=True)
        if value is None:
            return None
        if not reads_tables(value):
            return call_and_rows(value, reread, planner.finishers, function)
        if function.returns != "uuid":  # which `app.answer()` takes
            return None
        answer = AnswerParameters(keys)
        planner = self._planning.planner(answer)
        value = self._call_payload(planner, keys, outcome.fields, reread=False)
        assert value is not None, "the keys are the same"
        return call_and_answer(value, answer, planner.finishers, function)

    def _call_payload(
        self, planner: Planner, keys: Keys, fields: Mapping[str, Any], *, reread: bool
    ) -> Json | None:
        """The payload as SQL; nothing when some of it is neither a row with a key nor a text."""
        by_path = {part.path: part for part in self.parts}
        pairs: list[tuple[str, ColumnElement[Any]]] = []
        for key, nodes in planner.collect(self.type, self.nodes).items():
            name = nodes[0].name.value
            if name == "__typename":
                pairs.append((key, text_literal(self.type.name)))
            elif name == "errors":
                pairs.append((key, literal_column("'[]'::json")))
            elif (key,) in by_path and by_path[key,].attributes in keys:
                row = self._row(planner, by_path[key,], (key,), reread=reread)
                pairs.append((key, row))
            elif isinstance(fields.get(given := python_name(self.type.fields[name])), str):
                pairs.append((key, func.to_json(planner.parameters.given(given))))
            else:
                return None
        return build_object(pairs)


async def run_mutation(
    database: Database,
    plan: PayloadPlan,
    mutate: Mutate,
    arguments: Mapping[str, Any],
    run: Run,
) -> bytes:
    """Runs an operation and answers its payload; a refusal becomes a UserError."""
    plan.check(run.variables)
    outcome: Outcome | Payload | None = None
    try:
        if mutate.for_admins:
            await run.context.admin()
        if mutate.demands is not NOTHING_MORE:
            await run.context.meet(mutate.demands)
        outcome = made = await mutate.operation(run.context, **arguments)
        answer = await retried(lambda: _finish(database, plan, made, run))
        if (follow := _after(made)) is not None:
            await follow()
        return answer
    except Exception as error:
        refusal, is_full = _refusal(error), _is_full(error)
        if _may_miss_user(error) and not mutate.ignores_dead_token:
            await run.context.services.accounts.refuse_gone(run.context.actor)
        if refusal is None:
            raise
    if is_full:
        await run.context.services.mutations.slow_down(run.context.actor, run.context.network)
    if isinstance(outcome, Outcome) and outcome.refused_rows:
        refusal = Payload({**refusal.fields, **outcome.refused_rows})
    elif not plan.shows_viewer:
        return plan.without_rows(refusal.fields)
    if run.context.actor.user_id is not None:
        return await retried(lambda: _finish(database, plan, refusal, run))
    return plan.without_rows(refusal.fields)


def _may_miss_user(error: Exception) -> bool:
    """Whether an operation may have failed because the account of its actor is gone."""
    known = domain_error(error)
    if known is None:
        return isinstance(error, IntegrityConstraintViolationError)
    return known.code is ErrorCode.FORBIDDEN or known.code not in TOP_LEVEL_CODES


def _is_full(error: Exception) -> bool:
    """Whether an operation failed because its actor stores as much as they may."""
    known = domain_error(error)
    return known is not None and known.code is ErrorCode.QUOTA_EXCEEDED


def _refusal(error: Exception) -> Payload | None:
    """The payload of a refusal; nothing when the error belongs beside `data`.

    A function, since a local variable that keeps an error also keeps its own frame alive.
    """
    known = domain_error(error)
    if known is None or known.code in TOP_LEVEL_CODES:
        return None
    return Payload({"errors": user_errors(known)})


async def _finish(
    database: Database, plan: PayloadPlan, outcome: Outcome | Payload, run: Run
) -> bytes:
    if isinstance(outcome, Payload):
        return await _show(database, plan, outcome, run)
    statement = plan.call_statement(outcome)
    if statement is not None:
        return await _run_call(database, statement, outcome, run)
    actor = run.context.actor
    async with database.transaction(actor) as transaction:
        payload = _with_viewer(await _run_command(transaction, outcome, actor), actor)
        return await plan.read(transaction, payload, _request(plan, payload, run))


def _after(outcome: Outcome | Payload) -> Callable[[], Awaitable[None]] | None:
    """What follows a command's commit."""
    command = outcome.command if isinstance(outcome, Outcome) else None
    return command.after if isinstance(command, FunctionCall) else None


async def _show(database: Database, plan: PayloadPlan, payload: Payload, run: Run) -> bytes:
    """The payload of a command that has been done."""
    if not plan.parts:
        return plan.without_rows(payload.fields)
    actor = run.context.actor
    payload = _with_viewer(payload, actor)
    if not plan.keys(payload):
        return plan.without_rows(payload.fields)
    async with database.transaction(payload.reader or actor) as transaction:
        return await plan.read(transaction, payload, _request(plan, payload, run))


def _with_viewer(payload: Payload, actor: Actor) -> Payload:
    """The payload with who is asking, unless the operation says that it is nobody any more."""
    reader = payload.reader or actor
    viewer = None if reader.user_id is None else Ref(reader.user_id)
    return replace(payload, fields={VIEWER: viewer, **payload.fields})


def _request(plan: PayloadPlan, payload: Payload, run: Run) -> Request:
    reader = payload.reader or run.context.actor
    keys = plan.keys(payload)
    return Request(run.variables, reader.user_id, keys, session_id=reader.session_id)


async def _run_call(
    database: Database, statement: FunctionCallStatement, outcome: Outcome, run: Run
) -> bytes:
    assert isinstance(outcome.command, FunctionCall)
    actor = run.context.actor
    request = call_request(outcome, run)
    arguments = statement.arguments(outcome.command.values, request, actor.user_claim)
    async with database.pools[actor.role].connection() as connection:
        answer = await connection.fetch_value(statement.sql, arguments)
    return finished(answer, statement.finishers)


def call_request(outcome: Outcome, run: Run) -> Request:
    """What the parameters of a call's statement are computed from."""
    keys: dict[tuple[str, ...], Any] = {}
    for name, key in outcome.rows.items():
        if isinstance(key, Ref):
            keys[name,] = key.key
    actor = run.context.actor
    return Request(run.variables, actor.user_id, keys, outcome.fields, session_id=actor.session_id)


async def _run_command(transaction: Transaction, outcome: Outcome, actor: Actor) -> Payload:
    """A command in a transaction, and the payload that is to be read in the same one."""
    command = outcome.command
    if isinstance(command, FunctionCall):
        result = await call(transaction, command)
    else:
        result = await command.run(transaction)
    known = {RESULT: Ref(result), ACTOR: Ref(actor.user_id)}
    rows = {name: key if isinstance(key, Ref) else known[key] for name, key in outcome.rows.items()}
    return Payload({**outcome.fields, **rows})
