"""Fields that a slice adds to a type of another slice, which need not know of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from strawberry.types.field import StrawberryField


class ExtensionError(Exception):
    """A field that cannot be added where it is declared."""


@dataclass(frozen=True)
class Extension:
    """Fields of a type, in their order: the slice that adds them, and what they stand behind."""

    slice: str
    owner: type
    fields: dict[str, StrawberryField]
    after: str | None


_declared: list[Extension] = []


def extend(owner: type, *, after: str | None = None, **fields: Any) -> None:
    """Gives `owner` more fields, each as `graph/engine/declare.py` makes it with its type.

    They stand behind the type's own, in the order of the slices' names, or behind the field that
    `after` names.
    """
    adding = str(sys._getframe(1).f_globals["__name__"])
    _declared.append(Extension(adding, owner, fields, after))


def apply_extensions() -> None:
    """Adds the fields declared since the last call. Call it when all slices are loaded."""
    waiting = sorted(_declared, key=lambda one: (one.after is not None, one.slice))
    _declared.clear()
    while waiting:
        placed = [one for one in waiting if one.after is None or one.after in _names(one.owner)]
        if not placed:
            lacking = ", ".join(f"{one.owner.__name__}.{one.after}" for one in waiting)
            raise ExtensionError(f"Fields are to stand after ones that nobody declares: {lacking}")
        _apply(placed[0])
        waiting.remove(placed[0])


def _names(owner: Any) -> list[str]:
    return [field.python_name for field in owner.__strawberry_definition__.fields]


def _apply(extension: Extension) -> None:
    owner: Any = extension.owner
    names = _names(owner)
    place = len(names) if extension.after is None else names.index(extension.after) + 1
    for shift, (name, field) in enumerate(extension.fields.items()):
        if name in names:
            raise ExtensionError(f"{owner.__name__}.{name} is declared twice")
        if field.type_annotation is None:
            raise ExtensionError(f"{owner.__name__}.{name} does not say what it `returns`")
        field.python_name, field.origin = name, owner
        owner.__annotations__[name] = field.type_annotation.annotation
        owner.__strawberry_definition__.fields.insert(place + shift, field)
