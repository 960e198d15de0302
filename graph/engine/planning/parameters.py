"""The parameters of a plan: how each is bound in SQL, and how each request computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from graph.engine.planning.faults import FieldFault, Path, blaming, kept

# What the key of a payload's row can be: the result of its command, who asked, or given beforehand.
RESULT, ACTOR, GIVEN = "result", "actor_user_id", "given"
UUID_TYPE, JSONB_TYPE, TEXT_TYPE = Uuid(), JSONB(), Text()


@dataclass(slots=True)
class Request:
    """What one run of a plan computes its parameters from.

    `keys` holds the primary keys an operation gave, by their path in the payload, `fields` what it
    gave for those of the payload's fields that are no rows; `snapshot` is the row of an event.
    `session_id` is the session that asks.
    """

    variables: Any
    actor_user_id: UUID | None
    keys: Mapping[tuple[str, ...], Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    snapshot: Mapping[str, Any] | None = None
    session_id: UUID | None = None


Getter = Callable[[Request], Any]


def actor_user_id(request: Request) -> UUID | None:
    """The parameter that depends on who asks."""
    return request.actor_user_id


def asking_session_id(request: Request) -> UUID | None:
    """The parameter that depends on the session that asks."""
    return request.session_id


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

    def session(self) -> ColumnElement[Any]:
        """The id of the session that asks."""
        return self._bound("asking_session_id", asking_session_id, UUID_TYPE)

    def snapshot(self) -> ColumnElement[Any]:
        """The row of an event, as jsonb."""
        return self._bound("snapshot", lambda request: request.snapshot, JSONB_TYPE)

    def key(self, path: tuple[str, ...], type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The primary key an operation gave for the object at `path` of its payload."""
        return self.add(lambda request: request.keys.get(path), type_)

    def given(self, name: str) -> ColumnElement[Any]:
        """The text that an operation gave for a field of its payload."""
        return self.add(lambda request: request.fields[name], TEXT_TYPE)

    def _bound(self, name: str, getter: Getter, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        self.getters[name] = getter
        return bindparam(name, type_=type_)


def faults_of(getters: Iterable[Getter], request: Request) -> dict[Path, FieldFault]:
    """Every field whose arguments are refused for this request, in one pass."""
    found: dict[Path, FieldFault] = {}
    for getter in getters:
        try:
            getter(request)
        except FieldFault as fault:
            found.setdefault(fault.field, kept(fault))
    return found
