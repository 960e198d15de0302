"""Lifecycles: the states of a table's rows, and the changes of state that the database allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import asyncpg
from sqlalchemy import CheckConstraint, DefaultClause, Table

from db.core.errors import DomainError, ErrorCode

INSERT_TRIGGER, UPDATE_TRIGGER = "lifecycle_insert", "lifecycle_update"
ALWAYS = "true"


class State(StrEnum):
    """A state as its column holds it, with the `description` that the schema and documents show.

    A lifecycle's states are an enum made of it, whose docstring describes the whole:
    `OPEN = "OPEN", "Not answered yet."`.
    """

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        """A member of the enum, made of its value and description."""
        state = str.__new__(cls, value)
        state._value_ = value
        state.description = description
        return state

    def when(self, condition: str, meaning: str) -> Conditional:
        """This state, only for rows that meet a SQL condition on `new` (and `old` in an update).

        `meaning` says the condition in words, to follow "when".
        """
        return Conditional(self, condition, meaning)


@dataclass(frozen=True)
class Conditional:
    """A state that only some rows may come to."""

    state: State
    condition: str
    meaning: str


Target = State | Conditional


@dataclass(frozen=True)
class Lifecycle:
    """Where a table's rows begin, and where they may go from each state.

    A state without transitions is final. `column` holds the state; one that is `dated` is a
    timestamp, null in the first of two states and set, once, in the second. `monotonic` names
    columns of numbers or timestamps that never fall.
    """

    column: str
    states: type[State]
    initial: tuple[Target, ...]
    transitions: Mapping[State, tuple[Target, ...]] = field(default_factory=dict)
    monotonic: tuple[str, ...] = ()
    dated: bool = False

    def targets(self, state: State) -> tuple[Conditional, ...]:
        """Where a row may go from a state, each with its condition, be it `ALWAYS`."""
        return _conditional(self.transitions.get(state, ()))

    def beginnings(self) -> tuple[Conditional, ...]:
        """The states in which a row may be inserted, likewise."""
        return _conditional(self.initial)

    def is_in(self, row: str, *states: State) -> str:
        """The SQL condition that a row (`old`, `new`) is in one of the states."""
        column = f"{row}.{self.column}"
        if self.dated:
            first, _ = self.states
            return f"{column} is {'null' if states == (first,) else 'not null'}"
        return is_one_of(column, *states)


def set_once(column: str, states: type[State]) -> Lifecycle:
    """The lifecycle of a row with a timestamp that is null at first and set once, by two states."""
    first, *others = states
    return Lifecycle(column, states, (first,), {first: tuple(others)}, dated=True)


def is_one_of(column: str, *states: State) -> str:
    """The SQL condition that a column holds one of the states."""
    if len(states) == 1:
        return f"{column} = '{states[0]}'"
    return f"{column} in ({', '.join(f"'{state}'" for state in states)})"


def _conditional(targets: tuple[Target, ...]) -> tuple[Conditional, ...]:
    return tuple(t if isinstance(t, Conditional) else t.when(ALWAYS, "") for t in targets)


def declare_lifecycle(table: Table, lifecycle: Lifecycle) -> None:
    """Checks a table's lifecycle and gives the table its check constraint."""
    for fault in _faults(table, lifecycle):
        raise TypeError(f"{table.name}.lifecycle: {fault}")
    table.info["lifecycle"] = lifecycle
    if not lifecycle.dated:
        values = ", ".join(f"'{state}'" for state in lifecycle.states)
        check = CheckConstraint(f"{lifecycle.column} in ({values})", name=lifecycle.column)
        table.append_constraint(check)


def _faults(table: Table, lifecycle: Lifecycle) -> Iterator[str]:
    states, name = set(lifecycle.states), lifecycle.states.__name__
    reached = {target.state for target in lifecycle.beginnings()}
    for column in (lifecycle.column, *lifecycle.monotonic):
        if column not in table.columns:
            yield f"there is no column {column}"
            return
    for state in lifecycle.transitions:
        if state not in states:
            yield f"{state!r} is none of {name}"
        for target in lifecycle.targets(state):
            reached.add(target.state)
            if target.state is state:
                yield f"{state} may always stay {state}; leave it out"
    if foreign := {state for state in reached if not isinstance(state, lifecycle.states)}:
        yield f"{', '.join(map(repr, sorted(foreign)))} is none of {name}"
    if lost := states - reached:
        yield f"no row can come to {', '.join(sorted(lost))}"
    yield from _column_faults(table, lifecycle)


def _column_faults(table: Table, lifecycle: Lifecycle) -> Iterator[str]:
    column = table.columns[lifecycle.column]
    if lifecycle.dated and len(lifecycle.states) != 2:
        yield f"a timestamp tells two states apart, {lifecycle.states.__name__} has others"
    if column.nullable is not lifecycle.dated:
        must = "must be null at first" if lifecycle.dated else "may not be null"
        yield f"{column.name} {must}: that is how its state is known"
    default = column.server_default
    if isinstance(default, DefaultClause):
        begins = [target.state for target in lifecycle.beginnings()]
        if str(default.arg) not in begins:
            yield f"the default {default.arg} is not where a row begins: {', '.join(begins)}"


def lifecycle_statements(table: Table, lifecycle: Lifecycle) -> list[str]:
    """The triggers that refuse every row and every change which the lifecycle does not allow.

    Their conditions hold all of it: allowed changes call no function. They fire after the change,
    since a trigger before it would make Postgres lock the row a second time.
    """
    column = lifecycle.column
    begins = " or ".join(_arrivals(lifecycle, lifecycle.beginnings()))
    goes = " or ".join(
        f"{lifecycle.is_in('old', state)} and ({' or '.join(arrivals)})"
        for state in lifecycle.states
        if (arrivals := list(_arrivals(lifecycle, lifecycle.targets(state))))
    )
    changes = f"old.{column} is distinct from new.{column} and ({goes or 'false'}) is not true"
    refused = [
        (INSERT_TRIGGER, "insert", f"({begins}) is not true", column),
        (UPDATE_TRIGGER, "update", changes, column),
    ]
    for rising in lifecycle.monotonic:
        falls = f"(new.{rising} >= old.{rising}) is not true"
        refused.append((f"lifecycle_{rising}", "update", falls, rising))
    return [
        f"create trigger {name} after {change} on {table.name} for each row"
        f" when ({condition}) execute function app.refuse_transition('{watched}')"
        for name, change, condition, watched in refused
    ]


def _arrivals(lifecycle: Lifecycle, targets: tuple[Conditional, ...]) -> Iterator[str]:
    """The conditions on a new row that bring it to one of the targets."""
    if free := [target.state for target in targets if target.condition == ALWAYS]:
        yield lifecycle.is_in("new", *free)
    for target in targets:
        if target.condition != ALWAYS:
            yield f"{lifecycle.is_in('new', target.state)} and ({target.condition})"


@contextmanager
def invalid_state(what: str, *path: str) -> Iterator[None]:
    """Makes INVALID_STATE of the database's refusal of a transition inside the block.

    For an update that a client may ask for too late: the trigger decides, so that nobody looks
    first. `what` names the thing in a sentence, `path` leads to the input field.
    """
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != UPDATE_TRIGGER:
            raise
        raise DomainError(
            ErrorCode.INVALID_STATE,
            f"The {what} is in a state that does not allow this. Read it again to see which.",
            path,
        ) from None
