"""Inputs that are stored: what null does in one follows from the columns of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import strawberry
from sqlalchemy import Table
from strawberry.types.base import StrawberryOptional
from strawberry.utils.str_converters import to_camel_case

from db.core.base import Base
from db.core.errors import DomainError, bad_input

_EMPTIES = "Null empties it."
_REFUSED = "It may be left out, but not be null."
_IGNORED = "Null is as good as leaving it out."


def stored_in[T](
    model: type[Base], *, beside: tuple[str, ...] = (), description: str
) -> Callable[[type[T]], type[T]]:
    """Declares an input whose fields are columns of a table, each under its column's name.

    Null empties a column that may be empty, and is refused (`nulls`) for any other; each field's
    description says which. The fields `beside` the columns are not stored: null leaves them out.
    """

    def decorate(cls: type[T]) -> type[T]:
        made: Any = strawberry.input(cls, description=description)
        table = model.__table__
        assert isinstance(table, Table)
        never_null = []
        for field in made.__strawberry_definition__.fields:
            if not isinstance(field.type, StrawberryOptional):
                continue
            name = field.python_name
            if name in beside:
                field.description += f" {_IGNORED}"
            elif table.columns[name].nullable:
                field.description += f" {_EMPTIES}"
            else:
                field.description += f" {_REFUSED}"
                never_null.append(name)
        made.__never_null__ = tuple(never_null)
        return cls

    return decorate


def nulls(value: Any) -> Iterator[DomainError]:
    """A problem for each null in a column that cannot be empty."""
    for name in value.__never_null__:
        if getattr(value, name) is None:
            field = to_camel_case(name)
            yield bad_input(f"{field} cannot be null; leave it out instead.", "input", field)


def given(value: Any) -> dict[str, Any]:
    """What an input gives, by column; the key of the row is not among it."""
    return {
        name: item
        for name, item in vars(value).items()
        if item is not strawberry.UNSET and name != "id"
    }
