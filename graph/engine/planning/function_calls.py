"""Function calls and their payloads: one statement runs a SQL function and selects what it wrote.

A statement reads tables as they were when it began, so what a function has written must be read by
functions. There are two ways: rows read again by their keys (`db/core/rereading.py`), quickly,
and for whatever else is selected `app.answer()`, which plans the selection anew in each call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, cast, literal_column, select
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import TypeEngine

from db.core.commands import SqlFunction
from db.core.compiling import compiled_once, sql_type
from db.core.statement_functions import ANSWER
from graph.engine.planning.parameters import (
    ACTOR,
    GIVEN,
    JSONB_TYPE,
    RESULT,
    Getter,
    Parameters,
    Request,
)
from graph.engine.planning.planner import Finisher, Guard

# Which of `RESULT`, `ACTOR` and `GIVEN` the key of each row is, by the row's path in the payload.
Keys = Mapping[tuple[str, ...], str]

# The row that a function's statement selects from: what the function returned, and the other keys.
DONE = "done"
# What a selection that `app.answer()` runs calls the function's result, and all else it needs.
ANSWER_RESULT, ANSWER_PARAMETERS = "$1", "$2"


@dataclass(frozen=True)
class FunctionCallStatement:
    """A function and its payload in one statement.

    Parameters: those of the selection, the function's arguments, the actor's claim. `selection` is
    the text that `app.answer()` runs, empty when the statement selects by itself.
    """

    sql: str
    getters: tuple[Getter, ...]
    finishers: tuple[Finisher | Guard, ...]
    selection: str = ""

    def arguments(self, values: Sequence[Any], request: Request, claim: str) -> list[Any]:
        """The values to run the statement with; `values` are the function's arguments."""
        arguments = [getter(request) for getter in self.getters]
        arguments += values
        arguments.append(claim)
        return arguments


class RereadParameters(Parameters):
    """Parameters beside rows that are read again.

    A key comes from the row of the call, so that nothing can be read before the function has run.
    """

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self.given_keys: dict[str, tuple[Getter, str]] = {}
        self._keys = keys

    def key(self, path: tuple[str, ...], type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """A column of the call's row."""
        name = self._keys[path]
        if name == GIVEN:
            name = f"key_{len(self.given_keys)}"
            self.given_keys[name] = lambda request: request.keys.get(path), sql_type(type_)
        return literal_column(f"{DONE}.{name}", type_)


class AnswerParameters(Parameters):
    """Parameters inside the selection that `app.answer()` runs.

    `$1` is the function's result; everything else comes as one jsonb object in `$2`.
    """

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self._keys = keys

    def key(self, path: tuple[str, ...], type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The function's result, the actor, or what was given."""
        if self._keys[path] == RESULT:
            return literal_column(ANSWER_RESULT, type_)
        return self.actor() if self._keys[path] == ACTOR else super().key(path, type_)

    def values(self, request: Request) -> dict[str, Any]:
        """The jsonb parameter."""
        return {name: getter(request) for name, getter in self.getters.items()}

    def _bound(self, name: str, getter: Getter, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        self.getters[name] = getter
        # A literal, because inside this selection nothing is bound by the driver.
        named = literal_column(ANSWER_PARAMETERS, JSONB_TYPE).op("->>")(literal_column(f"'{name}'"))
        return cast(named, type_)


def reads_tables(value: ColumnElement[Any]) -> bool:
    """Whether a selection names a table, which would be read as it was before the function."""
    return any(isinstance(part, Table) for part in iterate(value))


def call_and_rows(
    value: ColumnElement[Any],
    parameters: RereadParameters,
    finishers: Sequence[Finisher | Guard],
    function: SqlFunction[Any],
) -> FunctionCallStatement:
    """Runs a function, then selects from rows that are read again."""
    sql, names = compiled_once(select(value))
    getters = [parameters.getters[name] for name in names]
    columns = [f"user_id::uuid as {ACTOR}"]
    for name, (getter, cast_to) in parameters.given_keys.items():
        getters.append(getter)
        columns.append(f"${len(getters)}::{cast_to} as {name}")
    head, call = _head_and_call(function, len(getters))
    done = f"select {call} as {RESULT}, {', '.join(columns)} from claims"
    return FunctionCallStatement(
        f"{head}, {DONE} as materialized ({done}) select ({sql}) from {DONE}",
        tuple(getters),
        tuple(finishers),
    )


def call_and_answer(
    value: ColumnElement[Any],
    parameters: AnswerParameters,
    finishers: Sequence[Finisher | Guard],
    function: SqlFunction[Any],
) -> FunctionCallStatement:
    """Runs a function, then lets `app.answer()` select whatever is wanted."""
    selection, names = compiled_once(select(value))
    assert not names, "inside this selection nothing is bound by the driver"
    head, call = _head_and_call(function, 2)
    return FunctionCallStatement(
        f"{head} select {ANSWER.name}({call}, $1::text, $2::jsonb) from claims",
        (lambda _: selection, parameters.values),
        tuple(finishers),
        selection,
    )


def _head_and_call(function: SqlFunction[Any], before: int) -> tuple[str, str]:
    """The claim's part of the statement, and the call; `before` parameters stand before its own."""
    last = before + function.parameter_count + 1
    claim = f"set_config('app.user_id', ${last}::text, true) as user_id"
    return f"with claims as materialized (select {claim})", function.call(before + 1)
