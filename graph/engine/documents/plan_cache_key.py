"""The plan cache key: those properties of a request's variables that change the statement."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from enum import Enum
from functools import partial
from typing import Any

from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    ListValueNode,
    ObjectValueNode,
    ValueNode,
    VariableNode,
    Visitor,
    visit,
)

from graph.engine.documents.literal_parameterization import stands_for_literal
from graph.shared.relay import split_global_id

# Arguments that change a statement by being given, and by which keys they have.
PAGE_ARGUMENTS = frozenset({"first", "last", "after", "before"})
ID_ARGUMENTS = frozenset({"id", "ids"})
STRUCTURED_ARGUMENTS = frozenset({"where", "orderBy"})

PlanKeyPart = Callable[[Mapping[str, Any]], Hashable]


def plan_key_parts(document: DocumentNode) -> tuple[PlanKeyPart, ...]:
    """Functions that make the parts of the key; requests with equal parts share a plan."""
    finder = _PlanKeyPartFinder()
    visit(document, finder)
    return tuple(finder.parts.values())


class _PlanKeyPartFinder(Visitor):
    """Finds the variables whose values change a statement."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[tuple[str, str], PlanKeyPart] = {}

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                name = argument.value.name.value
                self.parts["truth", name] = partial(_truth, name)

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        argument = node.name.value
        for variable in _variables_in(node.value):
            if argument in ID_ARGUMENTS:
                self.parts["prefixes", variable] = partial(_prefixes, variable)
            elif stands_for_literal(variable):
                continue  # its place and its structure are part of the normalized document
            elif argument in STRUCTURED_ARGUMENTS:
                part = partial(_structure_of, variable, choices=argument == "orderBy")
                self.parts[argument, variable] = part
            elif argument in PAGE_ARGUMENTS:
                self.parts["given", variable] = partial(_given, variable)


def _variables_in(value: ValueNode) -> Iterator[str]:
    if isinstance(value, VariableNode):
        yield value.name.value
    elif isinstance(value, ListValueNode):
        for item in value.values:
            yield from _variables_in(item)
    elif isinstance(value, ObjectValueNode):
        for field in value.fields:
            yield from _variables_in(field.value)


def has_variables(value: ValueNode) -> bool:
    """Whether a value of a document depends on the request's variables."""
    return next(_variables_in(value), None) is not None


def _structure_of(name: str, variables: Mapping[str, Any], *, choices: bool) -> Hashable:
    return _structure(variables[name], choices) if name in variables else "absent"


def _structure(value: Any, choices: bool) -> Hashable:
    """Everything of a filter or order that changes SQL: its keys, and an order's choices."""
    if isinstance(value, Mapping):
        return tuple((key, _structure(item, choices)) for key, item in sorted(value.items()))
    if choices and isinstance(value, Enum):
        return value
    return "null" if value is None else "value"


def _given(name: str, variables: Mapping[str, Any]) -> bool:
    return variables.get(name) is not None


def _prefixes(name: str, variables: Mapping[str, Any]) -> Hashable:
    """Which types the ids name: each type is read from a table of its own."""
    value = variables.get(name)
    ids = value if isinstance(value, list) else [value]
    return tuple(split_global_id(str(item))[0] for item in ids)


def _truth(name: str, variables: Mapping[str, Any]) -> bool | None:
    return variables.get(name)
