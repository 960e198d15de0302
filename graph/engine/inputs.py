"""The inputs of lists: filters and orders, made from the columns of a type that an index serves."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import strawberry
from sqlalchemy import Table
from strawberry.utils.str_converters import to_camel_case

from db.core.access import owner_columns
from db.core.base import Base
from graph.engine.specs import SPEC, Backing, Column, Edge, GlobalId, Search
from graph.shared.relay import DEFAULT_PAGE_SIZE

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
    """A backed type's fields: Python name, declaration, type without null.

    A field whose type is declared after `cls`, as of an edge back, is not among them.
    """
    names = vars(sys.modules[cls.__module__]) | {cls.__name__: cls}
    annotations = {
        name: text
        for base in reversed(cls.__mro__)
        for name, text in inspect.get_annotations(base).items()
    }
    for field in cls.__strawberry_definition__.fields:
        annotation = annotations.get(field.python_name)
        if annotation is None:
            continue
        try:
            found = eval(annotation, names) if isinstance(annotation, str) else annotation  # noqa: S307 - our own source
        except NameError:
            continue
        yield field.python_name, field.metadata.get(SPEC), _bare(found)


def _conditions(cls: Any, *, nested: bool) -> dict[str, tuple[Any, str | None, str]]:
    """The conditions on a type; nested below an edge, only which object it is."""
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
            isinstance(spec, Edge)
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


def where_input(cls: Any) -> Any:
    """The `where` input of a list of `cls`."""
    return _where(cls, nested=False)


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


def _argument(annotation: Any, description: str) -> Any:
    return Annotated[annotation, strawberry.argument(description=description)]


def page_resolver(cls: Any, cursor: Any, searched: Search | None = None) -> Any:
    """A function with the arguments of a list of `cls`; the engine itself answers."""

    def page(  # the arguments exist to be declared
        self: Any,  # noqa: ARG001
        first: Any = DEFAULT_PAGE_SIZE,  # noqa: ARG001
        after: Any = None,  # noqa: ARG001
        last: Any = None,  # noqa: ARG001
        before: Any = None,  # noqa: ARG001
        search: Any = None,  # noqa: ARG001
        where: Any = None,  # noqa: ARG001
        order_by: Any = None,  # noqa: ARG001
    ) -> Any:
        raise AssertionError("the engine answers pages")  # pragma: no cover

    annotations = {
        "first": _argument(int | None, "How many items from the start, 1 to 100."),
        "after": _argument(cursor | None, "Continue behind this cursor."),
        "last": _argument(int | None, "How many items from the end, 1 to 100; leave `first` out."),
        "before": _argument(cursor | None, "Continue before this cursor."),
    }
    if searched is not None:
        annotations["search"] = _argument(str | None, searched.description)
    if where := where_input(cls):
        annotations["where"] = _argument(where | None, "Which items; all, when left out.")
    if order := order_input(cls):
        annotations["order_by"] = _argument(
            order | None, "In which order; the list's own if unsaid."
        )
    page.__annotations__ = annotations
    parameters = inspect.signature(page).parameters
    kept = [p for name, p in parameters.items() if name == "self" or name in annotations]
    page.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(annotation=annotations.get(p.name, Any)) for p in kept]
    )
    return page
