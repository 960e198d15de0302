"""Introspection: the only fields that graphql-core answers, beside the engine's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    execute,
    print_ast,
)
from graphql.execution import Executor

from db.core.errors import ErrorCode
from db.core.yield_points import yield_point
from graph.engine.documents.operation import Operation, Variables
from graph.shared.errors import RequestError

# An answer about the whole schema takes about 1 MB.
MOST_BYTES = 16_777_216


class PausingExecutor(Executor[Any]):
    """Executes introspection, and may be suspended before each field: all of it takes 300 ms."""

    def execute_field(self, *arguments: Any, **options: Any) -> Any:
        """One field of one object."""
        yield_point()
        return super().execute_field(*arguments, **options)


class Introspection:
    """What has been asked about one schema lately, as it was answered: the schema never changes.

    It keeps `most_bytes` of answers; of more, those that were not asked for the longest go.
    """

    def __init__(self, schema: GraphQLSchema, most_bytes: int = MOST_BYTES) -> None:
        self._schema = schema
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, dict[str, bytes]] = OrderedDict()
        self._kept_bytes = 0

    def answer(
        self, operation: Operation, asked: Mapping[str, list[FieldNode]], variables: Variables
    ) -> dict[str, orjson.Fragment]:
        """The answers of the root fields `asked`; `RequestError` when one of them fails."""
        document = _only(operation, asked)
        key = sha256(f"{print_ast(document)} {dict(variables.given)!r}".encode()).digest()
        found = self._kept.get(key)
        if found is None:
            told = _told(self._schema, document, variables)
            found = {name: orjson.dumps(value) for name, value in told.items()}
            self._keep(key, found)
        else:
            self._kept.move_to_end(key)
        return {name: orjson.Fragment(value) for name, value in found.items()}

    def _keep(self, key: bytes, found: dict[str, bytes]) -> None:
        if key in self._kept:  # somebody else asked meanwhile
            return
        self._kept[key] = found
        self._kept_bytes += _size(found)
        while self._kept_bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= _size(oldest)


def _size(found: dict[str, bytes]) -> int:
    return sum(map(len, found.values()))


def _only(operation: Operation, asked: Mapping[str, list[FieldNode]]) -> DocumentNode:
    """The part of an operation that asks about the schema."""
    syntax = operation.normalized.syntax()
    node = syntax.node
    only = OperationDefinitionNode(
        operation=node.operation,
        name=node.name,
        variable_definitions=node.variable_definitions,
        directives=(),
        selection_set=SelectionSetNode(
            selections=tuple(node for nodes in asked.values() for node in nodes)
        ),
    )
    return DocumentNode(definitions=(only, *syntax.fragments.values()))


def _told(schema: GraphQLSchema, document: DocumentNode, variables: Variables) -> dict[str, Any]:
    # As they were given: what is coerced cannot be coerced again.
    result = execute(
        schema,
        document,
        variable_values=dict(variables.given),
        executor_class=PausingExecutor,
    )
    assert isinstance(result, ExecutionResult)
    if result.errors:
        raise RequestError(result.errors, ErrorCode.BAD_USER_INPUT)
    return dict(result.data or {})
