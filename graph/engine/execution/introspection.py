"""Introspection: the only fields that graphql-core answers, beside the engine's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    execute,
)
from graphql.execution import Executor

from db.core.errors import ErrorCode
from db.core.yield_points import yield_point
from graph.engine.documents.operation import Operation, Variables
from graph.shared.errors import RequestError


class PausingExecutor(Executor[Any]):
    """Executes introspection, and may be suspended before each field: all of it takes 100 ms."""

    def execute_field(self, *arguments: Any, **options: Any) -> Any:
        """One field of one object."""
        yield_point()
        return super().execute_field(*arguments, **options)


def introspect(
    schema: GraphQLSchema,
    operation: Operation,
    asked: Mapping[str, list[FieldNode]],
    variables: Variables,
) -> dict[str, Any]:
    """The answers of the root fields `asked`; `RequestError` when one of them fails."""
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
    document = DocumentNode(definitions=(only, *syntax.fragments.values()))
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
