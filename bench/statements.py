"""The one statement that each operation becomes, for the bare peer to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from graphql import OperationType

from bench.documents import NESTED_READ, OURS, PAGE, POINT_READ, SPEND, SPEND_WITH_DETAILS, worded
from db.core.actor import Actor
from db.core.commands import FunctionCall
from db.core.pool import Database
from graph.engine.documents.operation import Operation
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.engine import Engine
from graph.engine.execution.outcomes import Outcome
from graph.engine.execution.payloads import Run, call_request
from graph.engine.planning.parameters import Request
from graph.schema import build_schema
from graph.shared.context import Context
from settings import Settings

# Where the peer puts a request's own values; everything else in a statement is the same each time.
USER_ID, USER_CLAIM = "user id", "user claim"
SPENT = {"amount": 1, "reason": "why", "referenceId": "what", "idempotencyKey": "key"}
DOCUMENTS = (NESTED_READ, POINT_READ, PAGE, SPEND, SPEND_WITH_DETAILS)


async def export_statements(owner_url: str, settings: Settings) -> dict[str, Any]:
    """For each document, the engine's own SQL and the arguments it binds.

    An argument is `["user id"]` and the like, `["input", name]`, `["key", name]` for the key in a
    global id, or `["constant", value]`.
    """
    engine = Engine(build_schema(), Database(owner_url, settings), introspection=True)
    exported = {}
    for text in DOCUMENTS:
        document = worded(text, OURS)
        operation = engine.documents.operation(document, None)
        if operation.kind is OperationType.MUTATION:
            exported[document] = await _mutation(engine, operation, settings, SPENT)
        else:
            exported[document] = await _query(engine, operation)
    return exported


async def _query(engine: Engine, operation: Operation) -> dict[str, Any]:
    actor = Actor("authenticated", uuid4())
    variables = coerce_variables(engine.schema, operation, {})
    statement = await engine.query_statement(operation, variables, actor)
    assert statement is not None, "these queries compile"
    assert not statement.finishers, "the peer finishes nothing in Python"
    values = statement.arguments(Request(variables, actor.user_id))
    arguments = [[USER_ID] if value == actor.user_id else ["constant", value] for value in values]
    return {"sql": statement.with_claims, "arguments": [*arguments, [USER_CLAIM]]}


async def export_statement(
    owner_url: str,
    settings: Settings,
    text: str,
    given: Mapping[str, Any],
    derived: Sequence[tuple[Any, list[Any]]] = (),
) -> dict[str, Any]:
    """The same for one mutation, with an input in which every value is another one.

    `derived` are values that the operation makes of the input, each with what the peer is told.
    """
    database = await Database.connect(owner_url, settings)
    try:
        engine = Engine(build_schema(), database, introspection=True)
        operation = engine.documents.operation(text, None)
        return await _mutation(engine, operation, settings, given, derived)
    finally:
        await database.close()


@dataclass(frozen=True)
class ExportServices:
    """All that an operation whose statement is exported may ask for."""

    settings: Settings
    database: Database

    def of[T](self, make: Callable[[Any], T]) -> T:
        """A service of a slice."""
        return make(self)


async def _mutation(
    engine: Engine,
    operation: Operation,
    settings: Settings,
    given: Mapping[str, Any],
    derived: Sequence[tuple[Any, list[Any]]] = (),
) -> dict[str, Any]:
    actor = Actor("authenticated", uuid4())
    variables = coerce_variables(engine.schema, operation, {"input": dict(given)})
    (field,) = engine.mutation_fields(operation, variables).values()
    assert field is not None
    context = Context(actor, ExportServices(settings, engine.database), "export")  # type: ignore[arg-type]
    outcome = await field.spec.operation(context, **field.arguments(variables))
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.command, FunctionCall)
    statement = field.payload.call_statement(outcome)
    assert statement is not None, "a hot mutation is one statement"
    names = [(value, ["input", name]) for name, value in given.items()]
    names += [
        (UUID(v.partition("_")[2]), ["key", n])
        for n, v in given.items()
        if n.endswith("Id") and "_" in str(v)
    ]
    names += derived
    request = call_request(outcome, Run(context, variables))
    bound = statement.arguments(outcome.command.values, request, actor.user_claim)
    assert not statement.finishers, "the peer finishes nothing in Python"
    return {"sql": statement.sql, "arguments": [_told(value, names, actor) for value in bound]}


def _told(value: Any, names: Sequence[tuple[Any, list[Any]]], actor: Actor) -> list[Any]:
    """How the peer finds a mutation's argument."""
    if value == actor.user_id:
        return [USER_ID]
    if value == actor.user_claim:
        return [USER_CLAIM]
    return next((told for known, told in names if known == value), ["constant", value])
