"""Which scope of an API key an operation takes, and which operations no key may run."""

from __future__ import annotations

from collections.abc import Iterator

from graphql import GraphQLError, GraphQLField, GraphQLSchema, OperationType

from db.core.actor import KeyGrant, Scope
from db.core.errors import ErrorCode
from graph.engine.documents.dead_tokens import root_fields
from graph.engine.documents.operation import Operation
from graph.engine.specs import Mutate, Page, Rows, spec_of
from graph.shared.errors import RequestError


def refuse_key(schema: GraphQLSchema, operation: Operation, grant: KeyGrant) -> None:
    """Raises FORBIDDEN unless an API key may run the whole operation."""
    normalized = operation.normalized
    if normalized.key_scope is None:
        normalized.key_scope = _scope(schema, operation)
    if not normalized.key_scope:
        raise _forbidden("No API key may do this. Sign in, and send the access token.")
    if normalized.key_scope not in grant.scopes:
        raise _forbidden(f"This API key does not have the scope {normalized.key_scope}.")


def _scope(schema: GraphQLSchema, operation: Operation) -> Scope | bool:
    """The scope that an operation takes; false when there is none that suffices."""
    if not all(map(_is_for_keys, _fields(schema, operation))):
        return False
    return Scope.WRITE if operation.kind is OperationType.MUTATION else Scope.READ


def _fields(schema: GraphQLSchema, operation: Operation) -> Iterator[GraphQLField]:
    root = schema.get_root_type(operation.kind)
    assert root is not None
    tree = operation.normalized.syntax()
    for name in root_fields(tree, tree.node.selection_set):
        if not name.startswith("__"):
            yield root.fields[name]


def _is_for_keys(field: GraphQLField) -> bool:
    spec = spec_of(field)
    if isinstance(spec, Mutate):
        return spec.for_api_keys
    return not (isinstance(spec, Page | Rows) and spec.for_admins)


def _forbidden(message: str) -> RequestError:
    return RequestError([GraphQLError(message)], ErrorCode.FORBIDDEN)
