"""Asks both ways and insists on one answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import OperationType

from db.core.actor import Actor
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.engine import Engine
from graph.engine.planning.faults import FieldFault
from graph.engine.planning.statements import Statement
from graph.shared.context import Context
from server.services import Services

from .answers import answer, codes
from .people import ADA

Fault = tuple[str, tuple[str | int, ...] | None]


def agree(data: Any, one: set[Fault], other: set[Fault]) -> bool:
    """Whether the faults are the same; of several that null one place, either may be told."""
    differing = [{path for _, path in a - b} for a, b in ((one, other), (other, one))]
    places = [{nulled(data, path) for _, path in faults} for faults in (one, other)]
    return not differing[0] & differing[1] and places[0] == places[1]


def nulled(data: Any, path: tuple[str | int, ...] | None) -> tuple[str | int, ...]:
    """Up to where a fault's path is null in the answer."""
    place: tuple[str | int, ...] = ()
    for step in path or ():
        if data is None:
            break
        data, place = data[step], (*place, step)
    return place


@dataclass
class Both:
    """The engine and the reference over the same database."""

    engine: Engine
    services: Services
    # Fields the reference resolved while the two agreed.
    answered: set[tuple[str, str]] = field(default_factory=set)

    async def same(
        self, text: str, variables: dict[str, Any] | None = None, actor: Actor = ADA
    ) -> dict[str, Any]:
        """The answer to a query, which both gave, keys in the same order, faults at the same places."""
        given = variables or {}
        response = await self.compiled(text, given, actor)
        await self.assert_compiled(text, given, actor)
        reference = await answer(self.engine.database, actor, text, given, self.answered)
        faults = {
            (error["extensions"]["code"], tuple(error["path"]) if "path" in error else None)
            for error in response.get("errors", ())
        }
        data = orjson.dumps(response["data"]).decode()
        assert data == orjson.dumps(reference.data).decode(), f"{text}\n{given}"
        assert agree(response["data"], faults, codes(reference)), f"{text}\n{given}"
        return response

    async def compiled(
        self, text: str, variables: dict[str, Any], actor: Actor = ADA
    ) -> dict[str, Any]:
        """What the engine answers."""
        context = Context(actor, self.services, "both")
        response: dict[str, Any] = orjson.loads(
            await self.engine.run(text, variables, None, context)
        )
        return response

    async def assert_compiled(self, text: str, variables: dict[str, Any], actor: Actor) -> None:
        """Only introspection has no statement; a field's own fault may leave none to make."""
        operation = self.engine.documents.operation(text, None)
        assert operation.kind is OperationType.QUERY
        coerced = coerce_variables(self.engine.schema, operation, variables)
        try:
            statement = await self.engine.query_statement(operation, coerced, actor)
        except FieldFault:
            return
        assert isinstance(statement, Statement) or "__schema" in text or "__type(" in text
