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
# For each field of an object its key, and what makes its value of the object.
Writers = Sequence[tuple[str, Callable[[Any], Any]]]
_AS_THEY_ARE = frozenset((str, int, float, bool, dict, list, type(None)))


def read(value: Any, name: str) -> Any:
    """An attribute of an object or an item of a mapping; nothing when it has none."""
    # Asked first, as it is what most are, and the other question is slow.
    if type(value) is dict or isinstance(value, Mapping):
        return value.get(name)
    return getattr(value, name, None)


def leaf(value: Any) -> Any:
    """A scalar or enum value as JSON."""
    if type(value) in _AS_THEY_ARE:
        return value
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
            item_type = get_nullable_type(graph_type.of_type)
            if isinstance(item_type, GraphQLObjectType):
                writers = self.writers(item_type, nodes, path, parts)
                return [None if one is None else written(one, writers) for one in value]
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
        return written(value, self.writers(graph_type, nodes, path, parts))

    def writers(
        self,
        graph_type: GraphQLObjectType,
        nodes: Sequence[FieldNode],
        path: tuple[str, ...],
        parts: Mapping[tuple[str, ...], Any],
    ) -> Writers:
        """For each selected field its key, and what makes its value of an object."""
        collected = self._selections.collect(graph_type, sub_selections(nodes))
        return [
            (key, self._writer(graph_type, found, (*path, key), parts))
            for key, found in collected.items()
        ]

    def _writer(
        self,
        graph_type: GraphQLObjectType,
        nodes: Sequence[FieldNode],
        path: tuple[str, ...],
        parts: Mapping[tuple[str, ...], Any],
    ) -> Callable[[Any], Any]:
        name = nodes[0].name.value
        if name == "__typename":
            return lambda _: graph_type.name
        if path in parts:
            return lambda _: parts[path]
        definition = graph_type.fields[name]
        attribute = python_name(definition)
        if is_leaf_type(get_nullable_type(definition.type)):
            return lambda value: leaf(read(value, attribute))
        return lambda value: self.value(definition.type, nodes, read(value, attribute), path, parts)


def written(value: Any, writers: Writers) -> dict[str, Any]:
    """An object by its fields' writers."""
    return {key: write(value) for key, write in writers}
