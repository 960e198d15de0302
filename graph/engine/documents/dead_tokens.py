"""Which operations run without the token they were sent with, when that is dead."""

from __future__ import annotations

from collections.abc import Iterator

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    InlineFragmentNode,
    OperationType,
    SelectionSetNode,
)

from graph.engine.documents.operation import Operation, Tree
from graph.engine.specs import Mutate, spec_of


def ignores_dead_token(mutation_type: GraphQLObjectType | None, operation: Operation) -> bool:
    """Whether all that an operation does is what needs no token, such as renewing a session."""
    if operation.kind is not OperationType.MUTATION or mutation_type is None:
        return False
    normalized = operation.normalized
    if normalized.ignores_dead_token is None:
        tree = normalized.syntax()
        normalized.ignores_dead_token = all(
            name == "__typename" or _is_declared(mutation_type, name)
            for name in root_fields(tree, tree.node.selection_set)
        )
    return normalized.ignores_dead_token


def _is_declared(mutation_type: GraphQLObjectType, name: str) -> bool:
    spec = spec_of(mutation_type.fields[name])
    return isinstance(spec, Mutate) and spec.ignores_dead_token


def root_fields(tree: Tree, selections: SelectionSetNode) -> Iterator[str]:
    """The names of all fields, whatever @skip and @include say."""
    return (node.name.value for node in field_nodes(tree, selections))


def field_nodes(tree: Tree, selections: SelectionSetNode) -> Iterator[FieldNode]:
    """The fields of a selection, through its fragments."""
    for selection in selections.selections:
        if isinstance(selection, FieldNode):
            yield selection
        elif isinstance(selection, FragmentSpreadNode):
            yield from field_nodes(tree, tree.fragments[selection.name.value].selection_set)
        elif isinstance(selection, InlineFragmentNode):
            yield from field_nodes(tree, selection.selection_set)
