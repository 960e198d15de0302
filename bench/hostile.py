"""`python -m bench.hostile`: the processor time that refusing each hostile request takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from time import process_time

from graphql import GraphQLSchema
from rich.console import Console
from rich.table import Table

from graph.engine.documents.operation import Operation
from graph.engine.documents.store import Documents
from graph.engine.documents.variables import coerce_variables
from graph.schema import build_schema
from graph.shared.errors import RequestError
from graph.shared.json_input import InvalidJson, parse_json
from tests.graph.hostile import HOSTILE, HOSTILE_VARIABLES

RUNS = 11


def milliseconds(run: Callable[[], str], runs: int) -> tuple[float, str]:
    """The least processor time of a run, which other work cannot lengthen, and what came of it."""
    times, outcome = [], ""
    for _ in range(runs):
        started = process_time()
        outcome = run()
        times.append((process_time() - started) * 1000)
    return min(times), outcome


def outcome_of(run: Callable[[], object]) -> str:
    """`passed`, or the code of the refusal."""
    try:
        run()
    except RequestError as refusal:
        return refusal.code.value
    except InvalidJson:
        return "BAD_USER_INPUT"
    return "passed"


def document_runs(documents: Documents) -> Iterator[tuple[str, Callable[[], object]]]:
    """Reading each hostile document."""
    for name, (text, _) in HOSTILE.items():
        yield name, partial(documents.operation, text, None)


def variable_runs(
    documents: Documents, schema: GraphQLSchema
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Reading and coercing each hostile variable of a document that is known already."""
    for name, (text, value) in HOSTILE_VARIABLES.items():
        operation, body = documents.operation(text, None), json.dumps({"v": value})
        yield name, partial(coerced, schema, operation, body)


def coerced(schema: GraphQLSchema, operation: Operation, body: str) -> object:
    """The variables in a body."""
    return coerce_variables(schema, operation, parse_json(body))


def measured(runs: int = RUNS) -> list[tuple[str, float, str]]:
    """Name, milliseconds and outcome of every hostile request, the slowest first."""
    schema = build_schema()._schema
    documents = Documents(schema, introspection=True)
    found = [
        (name, *milliseconds(partial(outcome_of, run), runs))
        for name, run in chain(document_runs(documents), variable_runs(documents, schema))
    ]
    return sorted(found, key=lambda one: one[1], reverse=True)


def main() -> None:
    """Prints the table."""
    table = Table("Request", "CPU ms, least", "Outcome")
    for name, taken, outcome in measured():
        table.add_row(name, f"{taken:.1f}", outcome)
    Console().print(table)


if __name__ == "__main__":
    main()
