"""The root fields of a mutation, planned once for each operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphql import FieldNode, GraphQLObjectType, get_named_type

from graph.engine import specs
from graph.engine.documents.operation import Variables
from graph.engine.execution.payloads import PayloadPlan
from graph.engine.planning.arguments import argument_reader
from graph.engine.planning.conversion import Conversions
from graph.engine.planning.planning import Planning
from graph.engine.planning.rows import as_object
from graph.engine.specs import spec_of


@dataclass(frozen=True, slots=True)
class MutationField:
    """A root field of a mutation: its operation, that one's arguments, and its payload's plan."""

    spec: specs.Mutate
    arguments: Callable[[Variables], dict[str, Any]]
    payload: PayloadPlan

    @classmethod
    def plan(
        cls,
        planning: Planning,
        conversions: Conversions,
        root: GraphQLObjectType,
        nodes: list[FieldNode],
    ) -> MutationField | None:
        """The plan of one root field; none for `__typename`."""
        if nodes[0].name.value == "__typename":
            return None
        definition = root.fields[nodes[0].name.value]
        spec = spec_of(definition)
        assert isinstance(spec, specs.Mutate)
        read = argument_reader(definition, nodes[0])
        convert = conversions.of_arguments(definition)
        payload_type = as_object(get_named_type(definition.type))
        return cls(
            spec,
            lambda variables: convert(read(variables)),
            PayloadPlan(planning, payload_type, nodes, for_admins=spec.for_admins),
        )
