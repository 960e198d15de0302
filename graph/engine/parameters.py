"""The parameters of a plan: how each is bound in SQL, and how each request computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam, cast, literal_column
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from graph.engine.faults import Path, blaming

ACTOR = "actor_user_id"
# In a statement that Postgres runs for a verb, these stand for the verb's result and the rest.
VERB_RESULT = "$1"
VERB_PARAMETERS = "$2"
UUID_TYPE, JSONB_TYPE = Uuid(), JSONB()


@dataclass(slots=True)
class Request:
    """What one run of a plan computes its parameters from.

    `keys` holds the primary keys an operation returned, by their path in the payload;
    `snapshot` is the row of an event.
    """

    variables: Any
    actor_user_id: UUID | None
    keys: Mapping[tuple[str, ...], Any] = field(default_factory=dict)
    snapshot: Mapping[str, Any] | None = None


Getter = Callable[[Request], Any]


def actor_user_id(request: Request) -> UUID | None:
    """The one parameter that depends on who asks."""
    return request.actor_user_id


class Parameters:
    """Parameters bound by the driver. `field` is the one planned now; it answers for its own."""

    def __init__(self) -> None:
        self.getters: dict[str, Getter] = {}
        self.field: Path = ()

    def add(self, getter: Getter, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """A new parameter."""
        return self._bound(f"p{len(self.getters)}", blaming(self.field, getter), type_)

    def actor(self) -> ColumnElement[Any]:
        """The actor's user id."""
        return self._bound(ACTOR, actor_user_id, UUID_TYPE)

    def snapshot(self) -> ColumnElement[Any]:
        """The row of an event, as jsonb."""
        return self._bound("snapshot", lambda request: request.snapshot, JSONB_TYPE)

    def key(self, path: tuple[str, ...], type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The primary key an operation returned for the object at `path` of its payload."""
        return self.add(lambda request: request.keys.get(path), type_)

    def _bound(self, name: str, getter: Getter, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        self.getters[name] = getter
        return bindparam(name, type_=type_)


class VerbParameters(Parameters):
    """Parameters inside the selection that Postgres runs after a verb, in the same statement.

    `$1` is the verb's result; everything else comes as one jsonb object in `$2`. `keys` says for
    each object of the payload whether the verb's result or the actor is its primary key.
    """

    def __init__(self, keys: Mapping[tuple[str, ...], str]) -> None:
        super().__init__()
        self._keys = keys

    def key(self, path: tuple[str, ...], type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The verb's result, or the actor."""
        if self._keys[path] == ACTOR:
            return self.actor()
        return literal_column(VERB_RESULT, type_)

    def _bound(self, name: str, getter: Getter, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        self.getters[name] = getter
        # A literal, because inside the verb's selection nothing is bound by the driver.
        value = literal_column(VERB_PARAMETERS, JSONB_TYPE).op("->>")(literal_column(f"'{name}'"))
        return cast(value, type_)
