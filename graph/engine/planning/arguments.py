"""The arguments of a field: what does not depend on the request is computed once for its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    NameNode,
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
    variables = {n: one for n, one in given.items() if isinstance(one.value, VariableNode)}
    others = {n: one for n, one in given.items() if n not in variables}
    if not any(has_variables(one.value) for one in others.values()):
        names = tuple(variables)
        known = _ALIKE.get((id(definition), names))
        if known is None:
            known = _ALIKE[id(definition), names] = ArgumentVariables.of(definition, names)
        if not (others and known.may_refuse):
            return known.reader(variables, others)
    return _careful_reader(definition, node, given)


@dataclass(frozen=True, slots=True)
class ArgumentVariables:
    """How a field is read whose arguments are variables or known beforehand.

    It is the same for all fields that give the same arguments. `given` has, for each variable, its
    argument's key, whether it must be given, whether it may not be null, and what it is when it is
    not given; `fixed` has all other arguments as they are when they are not given.
    """

    definition: GraphQLField
    names: tuple[str, ...]
    given: tuple[tuple[str, bool, bool, Any], ...]
    fixed: dict[str, Any]

    @classmethod
    def of(cls, definition: GraphQLField, names: tuple[str, ...]) -> ArgumentVariables:
        """That of a field and the names of the arguments for which it gives variables."""
        fixed = {
            argument.out_name or name: default
            for name, argument in definition.args.items()
            if name not in names and (default := coerce_default_value(argument)) is not Undefined
        }
        given = tuple(
            (
                argument.out_name or name,
                is_required_argument(argument),
                is_non_null_type(argument.type),
                coerce_default_value(argument),
            )
            for name in names
            for argument in (definition.args[name],)
        )
        return cls(definition, names, given, fixed)

    @property
    def may_refuse(self) -> bool:
        """Whether some variable's value could be one that its argument does not take."""
        return any(required or non_null for _, required, non_null, _ in self.given)

    def reader(
        self, variables: Mapping[str, ArgumentNode], others: Mapping[str, ArgumentNode]
    ) -> Callable[[Variables], dict[str, Any]]:
        """The function for one such field. It keeps nothing of the document but names."""
        fixed = self.fixed
        for name, node in others.items():
            argument = self.definition.args[name]
            fixed = {**fixed, argument.out_name or name: _fixed(argument, node)}
        names = (cast("VariableNode", one.value).name.value for one in variables.values())
        if not variables:
            return partial(_same, fixed)
        return partial(_read_variables, self, fixed, tuple(names))

    def refused(self, variable_names: tuple[str, ...], variables: Variables) -> dict[str, Any]:
        """Lets graphql-core say what is wrong."""
        arguments = (
            ArgumentNode(
                name=NameNode(value=name), value=VariableNode(name=NameNode(value=variable))
            )
            for name, variable in zip(self.names, variable_names, strict=True)
        )
        node = FieldNode(name=NameNode(value=""), arguments=tuple(arguments))
        return argument_values(self.definition, node, variables)


# By the field, which is kept, and the names of the arguments that are variables.
_ALIKE: dict[tuple[int, tuple[str, ...]], ArgumentVariables] = {}


def _read_variables(
    known: ArgumentVariables,
    fixed: dict[str, Any],
    variable_names: tuple[str, ...],
    variables: Variables,
) -> dict[str, Any]:
    values, coerced = fixed.copy(), variables.coerced
    for (key, required, non_null, default), name in zip(known.given, variable_names, strict=True):
        value = coerced.get(name, Undefined)
        if value is Undefined:
            if required:
                return known.refused(variable_names, variables)
            value = default
        elif value is None and non_null:
            return known.refused(variable_names, variables)
        if value is not Undefined:
            values[key] = value
    return values


def _same(arguments: dict[str, Any], _: Variables) -> dict[str, Any]:
    return arguments


def _careful_reader(
    definition: GraphQLField, node: FieldNode, given: Mapping[str, ArgumentNode]
) -> Callable[[Variables], dict[str, Any]]:
    """The function for a field with variables inside of an argument, or that may be refused."""
    fixed: dict[str, Any] = {}
    read: list[tuple[str, Read]] = []
    for name, argument in definition.args.items():
        key = argument.out_name or name
        found = given.get(name)
        if found is not None and has_variables(found.value):
            read.append((key, _reader(argument, found)))
        elif (value := _fixed(argument, found)) is not Undefined:
            fixed[key] = value
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
