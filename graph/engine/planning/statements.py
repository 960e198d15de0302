"""Statements: a plan's SQL in the one safe form, and its answer as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from sqlalchemy import ColumnElement, select

from db.core.actor import Actor
from db.core.compiling import compiled_once
from graph.engine.planning.faults import FieldFault, FieldFaults, Path
from graph.engine.planning.gone import LooksGone
from graph.engine.planning.parameters import (
    Getter,
    Parameters,
    Request,
    actor_user_id,
    asking_session_id,
)
from graph.engine.planning.planner import Finisher, Guard


def finish(root: Any, finishers: Sequence[Finisher | Guard]) -> None:
    """Replaces the raw columns in a parsed answer by the values that Python computes.

    Raises `FieldFaults` with every field that is refused.
    """
    refused: dict[Path, FieldFault] = {}
    for finisher in finishers:
        try:
            _finish_at(root, finisher.path, finisher)
        except FieldFault as fault:
            refused[fault.field] = fault
    if refused:
        raise FieldFaults(refused)


def finished(answer: bytes, finishers: Sequence[Finisher | Guard]) -> bytes:
    """An answer with its computed fields; untouched when there are none."""
    if not finishers:
        return answer
    root = orjson.loads(answer)
    finish(root, finishers)
    return orjson.dumps(root)


def _finish_at(node: Any, path: Path, finisher: Finisher | Guard) -> None:
    if node is None:
        return
    step, rest = path[0], path[1:]
    if step is None:
        for item in node:
            _finish_at(item, rest, finisher)
    elif rest:
        found = node[step] if isinstance(step, int) else node.get(step)
        _finish_at(found, rest, finisher)
    elif step in node:
        finisher.finish(node, step)


@dataclass(frozen=True)
class Statement:
    """A finished plan: its SQL, and how each of its parameters is computed.

    `looks_gone` is asked whether an answer has no viewer though somebody is signed in.
    """

    sql: str
    getters: tuple[Getter, ...]
    finishers: tuple[Finisher | Guard, ...]
    looks_gone: LooksGone | None = None

    def arguments(self, request: Request) -> list[Any]:
        """The values to run the statement with."""
        return [getter(request) for getter in self.getters]

    @cached_property
    def actor_positions(self) -> tuple[int, ...]:
        """Where the actor stands among the arguments."""
        return tuple(n for n, getter in enumerate(self.getters) if getter is actor_user_id)

    @cached_property
    def session_positions(self) -> tuple[int, ...]:
        """Where the session that asks stands among the arguments."""
        return tuple(n for n, getter in enumerate(self.getters) if getter is asking_session_id)

    def for_actor(self, computed: Sequence[Any], actor: Actor) -> list[Any]:
        """Arguments that another actor's request has computed, for this actor."""
        arguments = list(computed)
        for position in self.actor_positions:
            arguments[position] = actor.user_id
        for position in self.session_positions:
            arguments[position] = actor.session_id
        return arguments

    @cached_property
    def with_claims(self) -> str:
        """The statement that sets the actor's claim and then reads, in the only safe form.

        Nothing joins `claims`: with a join, Postgres may check a policy before the claim is set.
        """
        position = len(self.getters) + 1
        return (
            "with claims as materialized "
            f"(select set_config('app.user_id', ${position}::text, true)) "
            f"select ({self.sql}) from claims"
        )

    def finished(self, answer: bytes) -> bytes:
        """The answer with its computed fields."""
        return finished(answer, self.finishers)


def make_statement(
    value: ColumnElement[Any],
    parameters: Parameters,
    finishers: Sequence[Finisher | Guard],
    looks_gone: LooksGone | None = None,
) -> Statement:
    """The statement that selects one JSON value."""
    sql, names = compiled_once(select(value))
    getters = tuple(parameters.getters[name] for name in names)
    return Statement(sql, getters, tuple(finishers), looks_gone)
