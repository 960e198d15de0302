"""Probes: which properties of a request's variables change the statement that is needed."""

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

from graph.engine.documents.lifting import is_lifted
from graph.shared.relay import split_global_id

# Arguments that shape a statement by being there, and by how they are built.
PLACES = frozenset({"first", "last", "after", "before"})
IDS = frozenset({"id", "ids"})
STRUCTURAL = frozenset({"where", "orderBy"})

Probe = Callable[[Mapping[str, Any]], Hashable]


def probes_of(document: DocumentNode) -> tuple[Probe, ...]:
    """The probes of a document; two requests that all of them find alike share a plan."""
    finder = _ProbeFinder()
    visit(document, finder)
    return tuple(finder.probes.values())


class _ProbeFinder(Visitor):
    """Finds the variables whose values shape a statement."""

    def __init__(self) -> None:
        super().__init__()
        self.probes: dict[tuple[str, str], Probe] = {}

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                name = argument.value.name.value
                self.probes["truth", name] = partial(_truth, name)

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        argument = node.name.value
        for variable in _variables_in(node.value):
            if argument in IDS:
                self.probes["prefixes", variable] = partial(_prefixes, variable)
            elif is_lifted(variable):
                continue  # its place and its structure are the skeleton's
            elif argument in STRUCTURAL:
                probe = partial(_structure_of, variable, choices=argument == "orderBy")
                self.probes[argument, variable] = probe
            elif argument in PLACES:
                self.probes["given", variable] = partial(_given, variable)


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
