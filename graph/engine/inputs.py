"""The inputs of lists: filters and orders, made from the columns of a type that an index serves."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

import strawberry
from sqlalchemy import Table
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.utils.str_converters import to_camel_case

from db.core.access import owner_columns
from db.core.base import Base
from graph.engine.specs import SPEC, Backing, Column, GlobalId, Page, RelatedRow
from graph.shared.relay import Cursor

_FILTERS: dict[object, type] = {}


@strawberry.enum(description="Which way a list runs.")
class OrderDirection(Enum):
    """Directions of an order."""

    ASC = strawberry.enum_value("ASC", description="Smallest, earliest first.")
    DESC = strawberry.enum_value("DESC", description="Largest, latest first.")


def served_columns(model: type[Base]) -> set[str]:
    """The columns an index finds: its first, or its second where the first is the owner's."""
    table = model.__table__
    assert isinstance(table, Table)
    owners = owner_columns(model.access)
    keys: list[list[str]] = [[c.name for c in table.primary_key]]
    keys += [[c.name for c in index.columns] for index in table.indexes]
    served = set()
    for names in keys:
        if names:
            served.add(names[1] if names[0] in owners and len(names) > 1 else names[0])
    return served


def _made(name: str, fields: dict[str, tuple[Any, str | None, str]], description: str) -> type:
    """An input type from its fields: annotation, name in GraphQL (when it differs), description."""
    cls = types.new_class(name)
    cls.__module__ = __name__
    cls.__annotations__ = {field: annotation for field, (annotation, _, _) in fields.items()}
    for field, (_, graph_name, text) in fields.items():
        default = strawberry.field(default=strawberry.UNSET, name=graph_name, description=text)
        setattr(cls, field, default)
    return strawberry.input(cls, name=name, description=description)


def _filter_of(python_type: Any) -> type | None:
    """The filter input of a scalar or enum; nothing for a type that has none."""
    if python_type not in _FILTERS:
        made = _make_filter(python_type)
        if made is None:
            return None
        _FILTERS[python_type] = made
    return _FILTERS[python_type]


def _make_filter(python_type: Any) -> type | None:
    names = {str: "String", int: "Int", bool: "Boolean", datetime: "DateTime", strawberry.ID: "ID"}
    is_enum = isinstance(python_type, type) and issubclass(python_type, Enum)
    if not is_enum and python_type not in names:
        return None
    base = python_type.__name__ if is_enum else names[python_type]
    fields: dict[str, tuple[Any, str | None, str]] = {
        "eq": (python_type | None, None, "Equal to this."),
        "in_": (list[python_type] | None, "in", "One of these; at most 100."),
    }
    if python_type in (int, datetime):
        for operator, text in (
            ("gt", "Greater than this."),
            ("gte", "This or greater."),
            ("lt", "Less than this."),
            ("lte", "This or less."),
        ):
            fields[operator] = (python_type | None, None, text)
    if python_type is bool:
        del fields["in_"]
    return _made(f"{base}Filter", fields, f"Conditions on a {base}; all given ones must hold.")


def _bare(annotation: Any) -> Any:
    """A type without `| None`."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        (annotation,) = (a for a in typing.get_args(annotation) if a is not type(None))
    return annotation


def _declared(cls: Any) -> Iterable[tuple[str, Any, Any]]:
    """A backed type's fields: Python name, declaration, type without null."""
    hints = typing.get_type_hints(cls, vars(sys.modules[cls.__module__]), {cls.__name__: cls})
    for field in cls.__strawberry_definition__.fields:
        if field.python_name in hints:
            yield field.python_name, field.metadata.get(SPEC), _bare(hints[field.python_name])


def _conditions(cls: Any, *, nested: bool) -> dict[str, tuple[Any, str | None, str]]:
    """The conditions on a type; nested below a related row, only which object it is."""
    backing: Backing = cls.__backing__
    served = served_columns(backing.model)
    fields: dict[str, tuple[Any, str | None, str]] = {}
    for name, spec, python_type in _declared(cls):
        column = spec.name or name if isinstance(spec, Column) else None
        if isinstance(spec, GlobalId):
            column, python_type = backing.key, strawberry.ID  # noqa: PLW2901
        if nested and not isinstance(spec, GlobalId):
            continue
        if column in served and (made := _filter_of(python_type)) is not None:
            fields[name] = (made | None, None, f"Condition on `{to_camel_case(name)}`.")
        elif (
            isinstance(spec, RelatedRow)
            and spec.local in served
            and spec.local != backing.key
            and (made := _where(python_type, nested=True))
        ):
            fields[name] = (made | None, None, f"Conditions on its `{to_camel_case(name)}`.")
    return fields


def _where(cls: Any, *, nested: bool) -> Any:
    """The `where` input of a backed type; nothing when no index serves a column of it."""
    fields = _conditions(cls, nested=nested)
    if not fields:
        return None
    name = f"{cls.__name__}{'Condition' if nested else 'Where'}"
    return _made(name, fields, f"Which {cls.__name__} to list; all given conditions must hold.")


@cache
def where_input(cls: Any) -> Any:
    """The `where` input of a list of `cls`."""
    return _where(cls, nested=False)


@cache
def order_input(cls: Any) -> Any:
    """The `orderBy` input of a list of `cls`; nothing when there is only one sensible order."""
    backing: Backing = cls.__backing__
    served = served_columns(backing.model)
    columns = backing.table.columns
    members = {
        name.upper(): name
        for name, spec, python_type in _declared(cls)
        if isinstance(spec, Column)
        and (column := spec.name or name) in served
        and not columns[column].nullable
        and python_type in (int, str, datetime)
    }
    if not members:
        return None
    field_enum = strawberry.enum(
        typing.cast(Any, Enum)(f"{cls.__name__}OrderField", members),
        description=f"What a list of {cls.__name__} can be ordered by.",
    )
    return _made(
        f"{cls.__name__}Order",
        {
            "field": (field_enum, None, "By what."),
            "direction": (OrderDirection, None, "Which way."),
        },
        f"The order of a list of {cls.__name__}.",
    )


class ListField(StrawberryField):
    """A field that is a list of `item`s.

    Its arguments follow from all fields of the item, to which other slices may add some, so they
    are made when the schema is.
    """

    def __init__(self, item: type, spec: Page, description: str, returns: Any = None) -> None:
        super().__init__(
            type_annotation=StrawberryAnnotation.from_annotation(returns),
            description=description,
            base_resolver=StrawberryResolver(_answered_by_the_engine),
            metadata={SPEC: spec},
        )
        self._item = item
        self._spec = spec

    @property
    def arguments(self) -> list[StrawberryArgument]:
        """What the list takes."""
        if self._arguments is None:
            self._arguments = list(_list_arguments(self._item, self._spec))
        return self._arguments

    @arguments.setter
    def arguments(self, value: list[StrawberryArgument]) -> None:
        self._arguments = value


def _answered_by_the_engine(self: Any) -> Any:  # noqa: ARG001 - a resolver makes it a field
    raise AssertionError("the engine answers lists")  # pragma: no cover


def _list_arguments(item: type, spec: Page) -> Iterator[StrawberryArgument]:
    yield _argument(
        "first", int | None, "How many items from the start, 1 to 100.", spec.default_size
    )
    yield _argument("after", Cursor | None, "Continue behind this cursor.")
    yield _argument("last", int | None, "How many items from the end, 1 to 100; leave `first` out.")
    yield _argument("before", Cursor | None, "Continue before this cursor.")
    if spec.search is not None:
        yield _argument("search", str | None, spec.search.description)
    if where := where_input(item):
        yield _argument("where", where | None, "Which items; all, when left out.")
    if order := order_input(item):
        yield _argument("order_by", order | None, "In which order; the list's own if unsaid.")


def _argument(
    name: str, annotation: Any, description: str, default: Any = None
) -> StrawberryArgument:
    return StrawberryArgument(
        python_name=name,
        graphql_name=None,
        type_annotation=StrawberryAnnotation(annotation),
        description=description,
        default=default,
    )
