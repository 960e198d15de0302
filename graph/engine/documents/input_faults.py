"""What is wrong with an input value, in sentences that never repeat the value.

graphql-core names the value it refuses, and of an unknown field the whole object around it: a
password beside a misspelt name would stand in the answer, and in the log of whoever called.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    ListValueNode,
    Node,
    NullValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    is_required_input_field,
)
from graphql.utilities import coerce_input_literal
from graphql.validation import ValuesOfCorrectTypeRule

from db.core.yield_points import yield_point

# Where a value stands below its variable or argument, and what is wrong with it.
PathStep = str | int
InputFault = tuple[tuple[PathStep, ...], str]
# What each of GraphQL's own scalars takes (GraphQL specification, 3.5).
_SCALARS = {
    "Int": "a whole number from -2147483648 to 2147483647 is needed here.",
    "Float": "a number is needed here.",
    "String": "text is needed here.",
    "Boolean": "true or false is needed here.",
    "ID": "an id is needed here, as text or a whole number.",
}
NAME_CHARACTERS = 64


def faults_of_value(
    value: Any, type_: GraphQLInputType, at: tuple[PathStep, ...] = ()
) -> Iterator[InputFault]:
    """Everything that is wrong with a value out of JSON."""
    if isinstance(type_, GraphQLNonNull):
        if value is None:
            yield at, "null is not allowed here."
            return
        type_ = type_.of_type
    if value is None:
        return
    if isinstance(type_, GraphQLList):
        if not isinstance(value, list):
            yield from faults_of_value(value, type_.of_type, at)
            return
        for index, item in enumerate(value):
            yield_point()
            yield from faults_of_value(item, type_.of_type, (*at, index))
    elif isinstance(type_, GraphQLInputObjectType):
        yield from _of_object(value, type_, at)
    elif (message := _leaf_fault(value, type_)) is not None:
        yield at, message


def _of_object(
    value: Any, type_: GraphQLInputObjectType, at: tuple[PathStep, ...]
) -> Iterator[InputFault]:
    if not isinstance(value, Mapping):
        yield at, f"an object with fields of {type_.name} is needed here."
        return
    for fault in _missing(type_, value):
        yield at, fault
    for name in value:
        if name not in type_.fields:
            yield at, _unknown(type_, name)
    for name, field in type_.fields.items():
        if name in value:
            yield from faults_of_value(value[name], field.type, (*at, name))


def _missing(type_: GraphQLInputObjectType, given: Collection[str]) -> Iterator[str]:
    for name, field in type_.fields.items():
        if name not in given and is_required_input_field(field):
            yield f"the field {name} is missing."
    if type_.is_one_of and len(given) != 1:
        yield f"exactly one field of {type_.name} is needed here."


def _unknown(type_: GraphQLInputObjectType, name: str) -> str:
    return f"{type_.name} has no field {shown_name(name)}."


def shown_name(name: str) -> str:
    """A name that a client made up, if it is one and not a text in the wrong place."""
    is_name = name.isidentifier() and name.isascii() and len(name) <= NAME_CHARACTERS
    return name if is_name else "like that"


def _leaf_fault(value: Any, type_: GraphQLLeafType) -> str | None:
    try:
        if type_.coerce_input_value(value) is not Undefined:
            return None
    except Exception as error:
        return _sentence(type_, error)
    return _sentence(type_, None)


def _sentence(type_: GraphQLLeafType, error: Exception | None) -> str:
    if isinstance(type_, GraphQLEnumType):
        return f"one of {', '.join(type_.values)} is needed here."
    if type_.name in _SCALARS:
        return _SCALARS[type_.name]
    # Our own scalars say what they take, and nothing of what they were given.
    return str(error) if error is not None else f"a {type_.name} is needed here."


def faults_of_literal(node: ValueNode, type_: GraphQLInputType) -> Iterator[tuple[Node, str]]:
    """Everything that is wrong with a value written in a document, each with its place there."""
    if isinstance(node, VariableNode):
        return
    if isinstance(type_, GraphQLNonNull):
        if isinstance(node, NullValueNode):
            yield node, "null is not allowed here."
            return
        type_ = type_.of_type
    if isinstance(node, NullValueNode):
        return
    if isinstance(type_, GraphQLList):
        items = node.values if isinstance(node, ListValueNode) else (node,)
        for item in items:
            yield from faults_of_literal(item, type_.of_type)
    elif isinstance(type_, GraphQLInputObjectType):
        yield from _of_object_literal(node, type_)
    elif (message := _literal_fault(node, type_)) is not None:
        yield node, message


def _of_object_literal(
    node: ValueNode, type_: GraphQLInputObjectType
) -> Iterator[tuple[Node, str]]:
    if not isinstance(node, ObjectValueNode):
        yield node, f"an object with fields of {type_.name} is needed here."
        return
    for message in _missing(type_, [field.name.value for field in node.fields]):
        yield node, message
    for field in node.fields:
        known = type_.fields.get(field.name.value)
        if known is None:
            yield field, _unknown(type_, field.name.value)
        else:
            yield from faults_of_literal(field.value, known.type)


def _literal_fault(node: ValueNode, type_: GraphQLLeafType) -> str | None:
    if _has_variables(node) or coerce_input_literal(node, type_) is not Undefined:
        return None
    try:
        cast("Any", type_.coerce_input_literal or type_.parse_literal)(node)
    except Exception as error:
        return _sentence(type_, error)
    return _sentence(type_, None)


def _has_variables(node: Node) -> bool:
    waiting: list[Node] = [node]
    for one in waiting:  # grows while values are opened
        if isinstance(one, VariableNode):
            return True
        if isinstance(one, ListValueNode):
            waiting += one.values
        elif isinstance(one, ObjectValueNode):
            waiting += [field.value for field in one.fields]
    return False


class ValuesOfTheirTypes(ValuesOfCorrectTypeRule):
    """graphql-core's rule, in our words."""

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> Any:
        """Reports each fault at its own place in the document."""
        if input_type is not None:
            for place, message in faults_of_literal(node, input_type):
                self.report_error(GraphQLError(message[0].upper() + message[1:], place))
        return self.SKIP


def described(name: str, at: Sequence[PathStep]) -> str:
    """A variable and the place within it, as it is written in JavaScript and in JSON paths."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at)
    return f"${name}{steps}"
