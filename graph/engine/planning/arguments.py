"""The arguments of a field: what does not depend on the request is computed once for its plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    Undefined,
    VariableNode,
    is_non_null_type,
    is_required_argument,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.utilities import coerce_input_literal
from graphql.utilities.coerce_input_value import coerce_default_value

from graph.engine.documents.operation import Variables
from graph.engine.documents.plan_cache_key import has_variables

Read = Callable[[Variables], Any]


def argument_values(
    definition: GraphQLField, node: FieldNode, variables: Variables
) -> dict[str, Any]:
    """A field's arguments by graphql-core, which reads nothing of variables but their values."""
    return get_argument_values(definition, node, cast(VariableValues, variables))


def argument_reader(
    definition: GraphQLField, node: FieldNode
) -> Callable[[Variables], dict[str, Any]]:
    """The function from a request's variables to a field's arguments, as graphql-core has them."""
    given = {one.name.value: one for one in node.arguments or ()}
    fixed: dict[str, Any] = {}
    read: list[tuple[str, Read]] = []
    for name, argument in definition.args.items():
        key = argument.out_name or name
        found = given.get(name)
        if found is not None and has_variables(found.value):
            read.append((key, _reader(argument, found)))
        elif (value := _fixed(argument, found)) is not Undefined:
            fixed[key] = value
    if not read:
        return lambda _: fixed

    # A plan lives longer than the tree, so it keeps of the field only what it needs.
    alone = FieldNode(name=node.name, arguments=node.arguments)

    def arguments(variables: Variables) -> dict[str, Any]:
        values = fixed.copy()
        for key, of in read:
            value = of(variables)
            if value is _INVALID:
                return argument_values(definition, alone, variables)  # says what is wrong
            if value is not Undefined:
                values[key] = value
        return values

    return arguments


_INVALID = object()


def _fixed(argument: GraphQLArgument, node: ArgumentNode | None) -> Any:
    if node is None:
        return coerce_default_value(argument)
    value = coerce_input_literal(node.value, argument.type)
    if value is Undefined:
        raise GraphQLError(f"Argument '{node.name.value}' has an invalid value.", node)
    return value


def _reader(argument: GraphQLArgument, node: ArgumentNode) -> Read:
    required, non_null = is_required_argument(argument), is_non_null_type(argument.type)
    default = coerce_default_value(argument)
    if not isinstance(node.value, VariableNode):

        def inside(variables: Variables) -> Any:
            of_values = cast(VariableValues, variables)
            value = coerce_input_literal(node.value, argument.type, of_values)
            return _INVALID if value is Undefined else value

        return inside

    name = node.value.name.value

    def plain(variables: Variables) -> Any:
        value = variables.coerced.get(name, Undefined)
        if value is Undefined:
            return _INVALID if required else default
        return _INVALID if value is None and non_null else value

    return plain
