"""Which fields an object answers: fragments opened, conditions applied, equal keys merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
)
from graphql.language import DirectiveNode

from db.core.errors import bad_input

Fragments = Mapping[str, FragmentDefinitionNode]


def _condition(directive: DirectiveNode, variables: Mapping[str, Any]) -> bool:
    assert directive.arguments, "validation requires `if`"
    value = directive.arguments[0].value
    if isinstance(value, VariableNode):
        given = variables[value.name.value]
        if given is None:  # a variable with a default may still be given null
            raise bad_input(f"`if` of @{directive.name.value} may not be null.")
        return bool(given)
    assert isinstance(value, BooleanValueNode)
    return value.value


def is_included(directives: Iterable[DirectiveNode], variables: Mapping[str, Any]) -> bool:
    """Whether @skip and @include leave a selection in (GraphQL specification, 3.13)."""
    for directive in directives:
        if directive.name.value == "skip" and _condition(directive, variables):
            return False
        if directive.name.value == "include" and not _condition(directive, variables):
            return False
    return True


class Selections:
    """Collects fields for concrete types; one for each operation being planned."""

    def __init__(
        self, schema: GraphQLSchema, fragments: Fragments, variables: Mapping[str, Any]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables

    def _applies(self, condition: str, object_type: GraphQLObjectType) -> bool:
        if condition == object_type.name:
            return True
        abstract = self._schema.type_map[condition]
        return is_abstract_type(abstract) and self._schema.is_sub_type(abstract, object_type)

    def collect(
        self, object_type: GraphQLObjectType, sets: Iterable[SelectionSetNode | None]
    ) -> dict[str, list[FieldNode]]:
        """The fields of `object_type` by response key, in the order the document names them."""
        found: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in sets:
            if selection_set is not None:
                self._collect_into(found, visited, object_type, selection_set)
        return found

    def _collect_into(
        self,
        found: dict[str, list[FieldNode]],
        visited: set[str],
        object_type: GraphQLObjectType,
        selection_set: SelectionSetNode,
    ) -> None:
        for selection in selection_set.selections:
            if not is_included(selection.directives or (), self._variables):
                continue
            if isinstance(selection, FieldNode):
                key = (selection.alias or selection.name).value
                found.setdefault(key, []).append(selection)
                continue
            if isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name in visited:
                    continue
                visited.add(name)
                fragment: Any = self._fragments[name]
            else:
                fragment = selection
            condition = fragment.type_condition
            if condition is None or self._applies(condition.name.value, object_type):
                self._collect_into(found, visited, object_type, fragment.selection_set)


def sub_selections(nodes: Iterable[FieldNode]) -> list[SelectionSetNode | None]:
    """The selection sets below fields that share a response key."""
    return [node.selection_set for node in nodes]
