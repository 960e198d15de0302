"""What a mutation's operation hands back to the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from db.core.actor import Actor
from db.core.pool import Transaction
from graph.engine.planning.parameters import ACTOR


@dataclass(frozen=True, slots=True)
class Ref:
    """A row, by its primary key, instead of an object that the engine will read."""

    key: Any


@dataclass(frozen=True)
class Payload:
    """The fields of a mutation's payload; rows as `Ref`, errors empty on success.

    `reader` is who the payload's rows are read for, when it is not the caller: whoever has just
    signed in.
    """

    fields: Mapping[str, Any]
    reader: Actor | None = None


@dataclass(frozen=True)
class Command:
    """Work to do in one transaction of the caller's, the payload read in the same one."""

    run: Callable[[Transaction], Awaitable[Payload]]


@dataclass(frozen=True)
class FunctionCall:
    """A function written in SQL: it and its payload are one statement.

    `function` is called with `arguments`, each a cast such as `integer`, and its value. `keys`
    says for each row of the payload what its primary key is: the `RESULT`, or the `ACTOR`.
    """

    RESULT: ClassVar[str] = "result"
    ACTOR: ClassVar[str] = ACTOR

    function: str
    arguments: tuple[tuple[str, Any], ...]
    keys: Mapping[str, str] = field(default_factory=dict)
