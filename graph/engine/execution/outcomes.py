"""What a mutation's operation hands back to the engine: the command, and what its payload shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from db.core.actor import Actor
from db.core.commands import FunctionCall, PythonCommand
from graph.engine.planning.parameters import ACTOR, RESULT

__all__ = ["ACTOR", "RESULT", "Outcome", "Payload", "Ref"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A row, by its primary key, instead of an object that the engine will read."""

    key: Any


# Not frozen, for the same reason as `FunctionCall`.
@dataclass(slots=True)
class Outcome:
    """A command that is still to be run, and its payload.

    `rows` says for each row of the payload what its primary key is: the command's `RESULT`, the
    `ACTOR`, or a `Ref`. `fields` are those of the payload's fields that are no rows. `refused_rows`
    are shown when the command refuses, for clients that are to see how things stand then.
    """

    command: FunctionCall[Any] | PythonCommand[Any]
    rows: Mapping[str, str | Ref] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    refused_rows: Mapping[str, Ref] = field(default_factory=dict)


@dataclass(frozen=True)
class Payload:
    """The fields of a payload whose command has been done; rows as `Ref`, errors empty on success.

    `reader` is who the payload's rows are read for, when it is not the caller: whoever has just
    signed in.
    """

    fields: Mapping[str, Any]
    reader: Actor | None = None
