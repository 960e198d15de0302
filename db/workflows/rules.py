"""What a workflow's definition must be: pure decisions, no I/O."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from db.core.errors import DomainError, bad_input
from db.core.texts import is_visible_line
from db.workflows.tables import DEFINITION_LIMIT_BYTES, VARIABLES_LIMIT_BYTES

NAME_LIMIT_CHARACTERS = 100
NODES_LIMIT = 500
EDGES_LIMIT = 2_000
# Of a definition in which everything is wrong, so many faults are told.
FAULTS_LIMIT = 100


class NodeType(StrEnum):
    """What a node of a definition may be."""

    START = "startCall"
    END = "endCall"
    AGENT = "agentNode"
    GLOBAL = "globalNode"


@dataclass(frozen=True, slots=True)
class DefinitionFault:
    """One thing wrong with a definition: of which `kind` (node, edge, workflow), `id` and `field`.

    `id` and `field` are None where the fault is the whole's.
    """

    kind: str
    id: str | None
    field: str | None
    message: str


def faults_of(definition: object) -> list[DefinitionFault]:
    """Everything that keeps a definition from being run, in the order of its nodes and edges."""
    shape = list(_faults_of_shape(definition))
    if shape or not isinstance(definition, dict):
        return shape[:FAULTS_LIMIT]
    nodes, edges = definition["nodes"], definition["edges"]
    found = [
        *_faults_of_nodes(nodes),
        *_faults_of_edges(nodes, edges),
        *_faults_of_graph(nodes, edges),
    ]
    return found[:FAULTS_LIMIT]


def _whole(message: str, field: str | None = None) -> DefinitionFault:
    return DefinitionFault("workflow", None, field, message)


def _faults_of_shape(definition: object) -> Iterator[DefinitionFault]:
    if not isinstance(definition, dict):
        yield _whole("A definition is an object with nodes and edges.")
        return
    if len(canonical(definition).encode()) > DEFINITION_LIMIT_BYTES:
        yield _whole("A definition may have at most 256 KiB of JSON.")
    for field, kind, limit in (("nodes", "node", NODES_LIMIT), ("edges", "edge", EDGES_LIMIT)):
        items = definition.get(field)
        if not isinstance(items, list):
            yield _whole(f"{field} must be a list.", field)
        elif len(items) > limit:
            yield _whole(f"There may be at most {limit} {field}.", field)
        else:
            yield from _faults_of_items(kind, items)


def _faults_of_items(kind: str, items: list[Any]) -> Iterator[DefinitionFault]:
    for item in items:
        named = item.get("id") if isinstance(item, dict) else None
        if not isinstance(named, str) or not named:
            yield DefinitionFault(kind, None, "id", f"Each {kind} is an object with an id.")
    ids = Counter(item["id"] for item in items if isinstance(item, dict) and _text(item, "id"))
    for named, count in ids.items():
        if count > 1:
            yield DefinitionFault(kind, named, "id", f"{count} {kind}s have this id.")


def _text(item: Any, field: str) -> str:
    """A field's text without blanks around it; empty when there is none."""
    value = item.get(field) if isinstance(item, dict) else None
    return value.strip() if isinstance(value, str) else ""


def _faults_of_nodes(nodes: list[dict[str, Any]]) -> Iterator[DefinitionFault]:
    for node in nodes:
        if node.get("type") not in tuple(NodeType):
            kinds = ", ".join(NodeType)
            yield DefinitionFault("node", node["id"], "type", f"A node's type is one of {kinds}.")
        for field in ("name", "prompt"):
            if not _text(node.get("data"), field):
                message = f"A node needs a {field}, in its data."
                yield DefinitionFault("node", node["id"], field, message)


def _faults_of_edges(
    nodes: list[dict[str, Any]], edges: list[dict[str, Any]]
) -> Iterator[DefinitionFault]:
    known = {node["id"] for node in nodes}
    for edge in edges:
        for field in ("label", "condition"):
            if not _text(edge, field):
                yield DefinitionFault("edge", edge["id"], field, f"An edge needs a {field}.")
        for field in ("source", "target"):
            end = edge.get(field)
            if not isinstance(end, str) or end not in known:
                message = f"An edge's {field} is the id of a node."
                yield DefinitionFault("edge", edge["id"], field, message)


def _faults_of_graph(
    nodes: list[dict[str, Any]], edges: list[dict[str, Any]]
) -> Iterator[DefinitionFault]:
    kinds = Counter(str(node.get("type")) for node in nodes)
    for kind in (NodeType.START, NodeType.END):
        if kinds[kind] != 1:
            yield _whole(
                f"There must be exactly one {kind} node; there are {kinds[kind]}.", "nodes"
            )
    if kinds[NodeType.GLOBAL] > 1:
        yield _whole(f"There may be one {NodeType.GLOBAL} node at most.", "nodes")
    left = {edge["source"] for edge in edges if isinstance(edge.get("source"), str)}
    entered = {edge["target"] for edge in edges if isinstance(edge.get("target"), str)}
    for node in nodes:
        if node.get("type") in (NodeType.START, NodeType.AGENT) and node["id"] not in left:
            yield DefinitionFault("node", node["id"], "edges", "No edge leads away from this node.")
        if node.get("type") in (NodeType.END, NodeType.AGENT) and node["id"] not in entered:
            yield DefinitionFault("node", node["id"], "edges", "No edge leads to this node.")


def canonical(value: object) -> str:
    """The one way in which a JSON value is written to be compared: keys sorted, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_of(definition: object) -> str:
    """The SHA-256 of a definition's canonical JSON, in hexadecimal digits."""
    return hashlib.sha256(canonical(definition).encode()).hexdigest()


def problems_of_definition(definition: object) -> Iterator[DomainError]:
    """The same faults as refusals, each with the path of what it is about."""
    for fault in faults_of(definition):
        about = (f"{fault.kind}s", fault.id) if fault.id else ()
        field = (fault.field,) if fault.field else ()
        yield bad_input(fault.message, "input", "definition", *about, *field)


def problems_of_name(name: str) -> Iterator[DomainError]:
    """What is wrong with a name; blanks around it do not count."""
    stripped = name.strip()
    if not 1 <= len(stripped) <= NAME_LIMIT_CHARACTERS:
        yield bad_input("name must have 1 to 100 characters.", "input", "name")
    elif not is_visible_line(stripped):
        yield bad_input("name must be one line of characters that can be seen.", "input", "name")


def problems_of_variables(variables: object) -> Iterator[DomainError]:
    """What is wrong with the values that a call's texts are filled with."""
    path = ("input", "templateVariables")
    if not isinstance(variables, dict) or not all(isinstance(v, str) for v in variables.values()):
        yield bad_input("templateVariables is an object whose values are texts.", *path)
    elif len(canonical(variables).encode()) > VARIABLES_LIMIT_BYTES:
        yield bad_input("templateVariables may have at most 16 KiB of JSON.", *path)
