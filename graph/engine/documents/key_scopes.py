"""Which scopes of an API key an operation takes, and which operations no key may run."""

from __future__ import annotations

from collections.abc import Iterator

from graphql import GraphQLError, GraphQLField, GraphQLSchema, OperationType

from db.core.actor import KeyGrant, KeyHolder, Scope
from db.core.errors import ErrorCode
from graph.engine.documents.dead_tokens import field_nodes, root_fields
from graph.engine.documents.operation import Operation
from graph.engine.specs import Mutate, Page, Rows, spec_of
from graph.shared.errors import RequestError

_WHOSE: dict[KeyHolder, str] = {
    "user": "",
    "organization": " of an organization",
    "bot": " of a bot",
}


def refuse_key(schema: GraphQLSchema, operation: Operation, grant: KeyGrant) -> None:
    """Raises FORBIDDEN unless an API key may run the whole operation."""
    known, holder = operation.normalized.key_scopes, grant.holder
    if holder not in known:
        known[holder] = _scopes(schema, operation, holder)
    if not known[holder]:
        whose = _WHOSE[holder]
        raise _forbidden(f"No API key{whose} may do this. Sign in, and send the access token.")
    for scope in known[holder]:
        if scope not in grant.scopes:
            raise _forbidden(f"This API key does not have the scope {scope}.")


def _scopes(schema: GraphQLSchema, operation: Operation, holder: KeyHolder) -> tuple[Scope, ...]:
    """The scopes that an operation takes; none when there are none that suffice.

    A mutation that answers with the `viewer` reads the account beside what it has written.
    """
    fields = _fields(schema, operation)
    if not all(_is_for_keys(one, holder) for one in fields):
        return ()
    if operation.kind is not OperationType.MUTATION:
        return (Scope.READ,)
    return (Scope.WRITE, Scope.READ) if _answers_with_viewer(operation) else (Scope.WRITE,)


def _answers_with_viewer(operation: Operation) -> bool:
    tree = operation.normalized.syntax()
    return any(
        "viewer" in root_fields(tree, node.selection_set)
        for node in field_nodes(tree, tree.node.selection_set)
        if node.selection_set is not None
    )


def _fields(schema: GraphQLSchema, operation: Operation) -> Iterator[GraphQLField]:
    root = schema.get_root_type(operation.kind)
    assert root is not None
    tree = operation.normalized.syntax()
    for name in root_fields(tree, tree.node.selection_set):
        if not name.startswith("__"):
            yield root.fields[name]


def _is_for_keys(field: GraphQLField, holder: KeyHolder) -> bool:
    spec = spec_of(field)
    if isinstance(spec, Mutate):
        open_to: dict[KeyHolder, bool] = {
            "user": spec.for_api_keys,
            "organization": spec.for_organization_keys,
            "bot": spec.for_bots,
        }
        return open_to[holder]
    return not (isinstance(spec, Page | Rows) and spec.for_admins)


def _forbidden(message: str) -> RequestError:
    return RequestError([GraphQLError(message)], ErrorCode.FORBIDDEN)
