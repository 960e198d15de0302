"""What planning one operation needs: its selections, its arguments, and how values are written."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import Any

from graphql import FieldNode, GraphQLField, GraphQLObjectType, GraphQLSchema

from graph.engine.documents.operation import Operation, Tree, Variables
from graph.engine.planning.arguments import argument_reader, argument_values
from graph.engine.planning.faults import FieldFault, Path
from graph.engine.planning.pages import build_page
from graph.engine.planning.parameters import Parameters
from graph.engine.planning.planner import Planner
from graph.engine.planning.render import Renderer
from graph.engine.planning.selection import Selections


class Planning:
    """Everything needed to plan one operation for one plan cache key."""

    def __init__(
        self, schema: GraphQLSchema, operation: Operation, variables: Variables, *, signed_in: bool
    ) -> None:
        self.schema = schema
        self._signed_in = signed_in
        # Fields already known to fail for these variables; they are planned as null.
        self.faults: dict[Path, FieldFault] = {}
        self.operation = operation
        self.variables = variables

    @cached_property
    def plan_key(self) -> tuple[Hashable, ...]:
        """What a plan for these variables is remembered by."""
        return (self._signed_in, *self.operation.plan_key(self.variables))

    @cached_property
    def _syntax(self) -> Tree:
        return self.operation.normalized.syntax()

    @cached_property
    def selections(self) -> Selections:
        """The fields of the operation."""
        return Selections(self.schema, self._syntax.fragments, self.variables.coerced)

    @cached_property
    def renderer(self) -> Renderer:
        """How computed values are written."""
        return Renderer(self.schema, self.selections)

    def planner(
        self, parameters: Parameters, collected: dict[Path, FieldFault] | None = None
    ) -> Planner:
        """A planner that binds with `parameters` and gathers faults in `collected`, if given."""
        return Planner(
            self.selections,
            parameters,
            argument_reader,
            self._arguments_now,
            self.renderer.for_field,
            build_page,
            signed_in=self._signed_in,
            answer_bytes=self.operation.normalized.limits.answer_bytes,
            faults=self.faults,
            collected=collected,
        )

    def _arguments_now(self, definition: GraphQLField, node: FieldNode) -> dict[str, Any]:
        return argument_values(definition, node, self.variables)

    def root(self) -> tuple[GraphQLObjectType, dict[str, list[FieldNode]]]:
        """The root type and the fields selected on it."""
        root = self.schema.get_root_type(self.operation.kind)
        assert root is not None
        return root, self.selections.collect(root, [self._syntax.node.selection_set])
