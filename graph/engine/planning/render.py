"""Writes Python values as JSON by a selection: errors, sessions, and computed values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
)

from graph.engine.planning.selection import Selections, sub_selections
from graph.engine.specs import python_name
from graph.shared.scalars import format_date_time

AttributePath = tuple[str, ...]


def read(value: Any, name: str) -> Any:
    """An attribute of an object or an item of a mapping; nothing when it has none."""
    if isinstance(value, Mapping):
        return value.get(name)
    return getattr(value, name, None)


def leaf(value: Any) -> Any:
    """A scalar or enum value as JSON."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        return format_date_time(value)
    if isinstance(value, UUID):
        return str(value)
    return value


class Renderer:
    """Renders for one operation. `parts` holds what SQL already made, by response path."""

    def __init__(self, schema: GraphQLSchema, selections: Selections) -> None:
        self._schema = schema
        self._selections = selections

    def for_field(
        self, definition: GraphQLField, nodes: Sequence[FieldNode]
    ) -> Callable[[Any], Any]:
        """The function that writes the values of one field."""
        if is_leaf_type(get_nullable_type(definition.type)):
            return leaf  # it needs nothing of the document, which a plan would keep
        return lambda value: self.value(definition.type, nodes, value, (), {})

    def value(
        self,
        graph_type: GraphQLOutputType,
        nodes: Sequence[FieldNode],
        value: Any,
        path: tuple[str, ...],
        parts: Mapping[tuple[str, ...], Any],
    ) -> Any:
        """`value` as JSON by its type and selection."""
        if isinstance(graph_type, GraphQLNonNull):
            return self.value(graph_type.of_type, nodes, value, path, parts)
        if value is None:
            return None
        if isinstance(graph_type, GraphQLList):
            return [self.value(graph_type.of_type, nodes, item, path, parts) for item in value]
        if is_leaf_type(graph_type):
            return leaf(value)
        return self.object(self._concrete(graph_type, value), nodes, value, path, parts)

    def _concrete(self, graph_type: Any, value: Any) -> GraphQLObjectType:
        if is_abstract_type(graph_type):
            name = type(value).__strawberry_definition__.name
            graph_type = self._schema.type_map[name]
        assert isinstance(graph_type, GraphQLObjectType)
        return graph_type

    def object(
        self,
        graph_type: GraphQLObjectType,
        nodes: Sequence[FieldNode],
        value: Any,
        path: tuple[str, ...],
        parts: Mapping[tuple[str, ...], Any],
    ) -> dict[str, Any]:
        """An object's selected fields, those SQL made taken from `parts`."""
        made: dict[str, Any] = {}
        for key, found in self._selections.collect(graph_type, sub_selections(nodes)).items():
            name = found[0].name.value
            field_path = (*path, key)
            if name == "__typename":
                made[key] = graph_type.name
            elif field_path in parts:
                made[key] = parts[field_path]
            else:
                definition = graph_type.fields[name]
                inner = read(value, python_name(definition))
                made[key] = self.value(definition.type, found, inner, field_path, parts)
        return made
