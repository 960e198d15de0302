"""The documentation of payloads' `errors`, made of the codes that their mutations declare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from graphql import GraphQLObjectType, GraphQLSchema, get_named_type

from db.core.errors import ErrorCode
from graph.engine.specs import Mutate, spec_of

NOTHING_DONE = "Why nothing was done"


def document_errors(schema: GraphQLSchema) -> None:
    """Describes the field `errors` of every payload."""
    by_payload: dict[str, dict[str, tuple[ErrorCode, ...]]] = defaultdict(dict)
    mutations = schema.mutation_type.fields if schema.mutation_type else {}
    for name, field in mutations.items():
        spec = spec_of(field)
        if isinstance(spec, Mutate):
            by_payload[get_named_type(field.type).name][name] = spec.errors
    for payload, declared in by_payload.items():
        graph_type = schema.type_map[payload]
        assert isinstance(graph_type, GraphQLObjectType)
        graph_type.fields["errors"].description = _described(declared)


def _described(declared: Mapping[str, tuple[ErrorCode, ...]]) -> str:
    """One list, or one for each mutation where those that share a payload differ."""
    lists = {name: ", ".join(errors) for name, errors in declared.items()}
    if not any(lists.values()):
        return "Always empty."
    if len(set(lists.values())) == 1:
        return f"{NOTHING_DONE}: {next(iter(lists.values()))}."
    parts = (f"`{name}`: {listed}." for name, listed in lists.items() if listed)
    return f"{NOTHING_DONE}. {' '.join(parts)}"
