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

from db.core.compiling import compiled_once
from graph.engine.planning.parameters import ACTOR, JSONB_TYPE, Getter, Parameters, Request
from graph.engine.planning.planner import Finisher, Guard

Keys = Mapping[tuple[str, ...], str]

# The row that a function's statement selects from: what the function returned, and who asked.
DONE, RESULT = "done", "result"
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
    """Parameters beside rows that are read again; `keys` says what each row's key is.

    A key comes from the row of the call, so that nothing can be read before the function has run.
    """

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self._keys = keys

    def key(self, path: tuple[str, ...], type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The function's result, or the actor."""
        return literal_column(f"{DONE}.{ACTOR if self._keys[path] == ACTOR else RESULT}", type_)


class AnswerParameters(Parameters):
    """Parameters inside the selection that `app.answer()` runs.

    `$1` is the function's result; everything else comes as one jsonb object in `$2`. `keys` says
    for each object of the payload whether the function's result or the actor is its primary key.
    """

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self._keys = keys

    def key(self, path: tuple[str, ...], type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The function's result, or the actor."""
        if self._keys[path] == ACTOR:
            return self.actor()
        return literal_column(ANSWER_RESULT, type_)

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
    function: str,
    casts: Sequence[str],
) -> FunctionCallStatement:
    """Runs a function, then selects from rows that are read again."""
    sql, names = compiled_once(select(value))
    head, call = _head_and_call(function, casts, len(names))
    done = f"select {call} as {RESULT}, user_id::uuid as {ACTOR} from claims"
    return FunctionCallStatement(
        f"{head}, {DONE} as materialized ({done}) select ({sql}) from {DONE}",
        tuple(parameters.getters[name] for name in names),
        tuple(finishers),
    )


def call_and_answer(
    value: ColumnElement[Any],
    parameters: AnswerParameters,
    finishers: Sequence[Finisher | Guard],
    function: str,
    casts: Sequence[str],
) -> FunctionCallStatement:
    """Runs a function, then lets `app.answer()` select whatever is wanted."""
    selection, names = compiled_once(select(value))
    assert not names, "inside this selection nothing is bound by the driver"
    head, call = _head_and_call(function, casts, 2)
    return FunctionCallStatement(
        f"{head} select app.answer({call}, $1::text, $2::jsonb) from claims",
        (lambda _: selection, parameters.values),
        tuple(finishers),
        selection,
    )


def _head_and_call(function: str, casts: Sequence[str], before: int) -> tuple[str, str]:
    """The claim's part of the statement, and the call; `before` parameters stand before its own."""
    call = ", ".join(f"${n}::{cast}" for n, cast in enumerate(casts, start=before + 1))
    claim = f"set_config('app.user_id', ${before + len(casts) + 1}::text, true) as user_id"
    return f"with claims as materialized (select {claim})", f"{function}({call})"
