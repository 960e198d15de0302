"""An operation that was read: its normalized document, its literals, and the plans made for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    OperationDefinitionNode,
    OperationType,
    VariableDefinitionNode,
)

from db.core.actor import KeyHolder, Scope
from graph.engine.documents.coercion import VariableReader
from graph.engine.documents.costs import Formula
from graph.engine.documents.limits import Limits
from graph.engine.documents.literal_parameterization import LiteralParameter
from graph.engine.documents.plan_cache_key import PlanKeyPart

PLANS_PER_DOCUMENT, PARTIAL_PLANS_PER_DOCUMENT = 64, 8
# What a document weighs for each of its tokens once it is parsed, and for each of its plans: the
# bytes that the dearest kinds take, and more for mutations, which consist of more objects. The
# garbage collector looks at each of those from time to time, and 60,000 keep the loop for 40 ms.
BYTES_PER_TOKEN = 140
TREE_BYTES_PER_TOKEN = 240
PLAN_BYTES_PER_TOKEN = 150
MUTATION_BYTES_PER_TOKEN = 450


@dataclass(frozen=True, slots=True)
class Variables:
    """The coerced values, the literals of the document among them; and as the client gave them."""

    coerced: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    # The most bytes that the answer to these can have, and what it is expected to take.
    room_bytes: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Tree:
    """An operation as the parser made it, literals replaced by variables; and its fragments."""

    node: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]


@dataclass(eq=False)
class NormalizedDocument:
    """A valid operation with variables in the places of its literals, and its plans."""

    kind: OperationType
    variable_definitions: Sequence[VariableDefinitionNode]
    literal_parameters: Sequence[LiteralParameter] | None
    tree: Tree | None
    read_tree: Callable[[], Tree]
    plan_key_parts: Sequence[PlanKeyPart]
    readers: Sequence[VariableReader]
    formula: Formula
    limits: Limits
    resized: Callable[[int], None]
    token_count: int
    name: str | None
    # Its kind and first root field, by the schema's names: there are not more than the schema has.
    label: tuple[str, str]
    plans: dict[tuple[Hashable, ...], Any] = field(default_factory=dict)
    # Plans without the fields whose arguments are refused, by the plan key and those fields.
    partial_plans: dict[Hashable, Any] = field(default_factory=dict)
    # Not known before somebody sends it with a dead token.
    ignores_dead_token: bool | None = None
    # Likewise with an API key, of a user's (False) or an organization's (True): the scopes that it
    # takes, none where none suffice.
    key_scopes: dict[KeyHolder, tuple[Scope, ...]] = field(default_factory=dict)
    # Where they do not depend on variables.
    fixed_size: tuple[int, int] | None = None

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory, its plans included."""
        tree = 0 if self.tree is None else TREE_BYTES_PER_TOKEN
        is_mutation = self.kind is OperationType.MUTATION
        plan = MUTATION_BYTES_PER_TOKEN if is_mutation else PLAN_BYTES_PER_TOKEN
        plans = (len(self.plans) + len(self.partial_plans)) * plan
        return self.token_count * (BYTES_PER_TOKEN + tree + plans)

    def syntax(self) -> Tree:
        """The operation and its fragments, read again when they were given up."""
        return self.tree or self.read_tree()

    def size(self, coerced: Mapping[str, Any]) -> tuple[int, int]:
        """The most bytes of an answer, and its cost; refuses variables that ask for too much."""
        if self.fixed_size is not None:
            return self.fixed_size
        estimate = self.formula.estimate(coerced)
        estimate.check(self.limits)
        found = estimate.room_bytes(self.limits), estimate.cost
        if not self.formula.lists:
            self.fixed_size = found
        return found

    def plan_key(self, variables: Variables) -> tuple[Hashable, ...]:
        """Those properties of the variables that change which statement is needed."""
        return tuple([part(variables.coerced) for part in self.plan_key_parts])

    def remember(self, plan_key: tuple[Hashable, ...], plan: Any) -> None:
        """Keeps a plan by its key; of too many plans, the oldest goes."""
        if len(self.plans) >= PLANS_PER_DOCUMENT:
            self.plans.pop(next(iter(self.plans)))
        self.plans[plan_key] = plan
        self._plan_was_added()

    def remember_partial(self, key: Hashable, plan: Any) -> None:
        """Keeps a plan without the fields at fault, so that the same fault costs little again."""
        if len(self.partial_plans) >= PARTIAL_PLANS_PER_DOCUMENT:
            self.partial_plans.pop(next(iter(self.partial_plans)))
        self.partial_plans[key] = plan
        self._plan_was_added()

    def _plan_was_added(self) -> None:
        # Two thirds of what a document takes is its tree, and only a request with another plan key
        # needs it again.
        self.tree = None
        self.resized(self.size_bytes)


@dataclass(slots=True)
class Operation:
    """What one text asks for: its normalized document, and the literals of the text.

    `variables` is known beforehand where a request cannot give any; `memo` then keeps what the
    engine computed from them alone.
    """

    normalized: NormalizedDocument
    literals: Mapping[str, Any]
    variables: Variables | None
    memo: dict[Hashable, Any]

    @property
    def plans(self) -> dict[tuple[Hashable, ...], Any]:
        """The plans made so far, by their keys."""
        return self.normalized.plans

    @property
    def kind(self) -> OperationType:
        """Query, mutation or subscription."""
        return self.normalized.kind

    def plan_key(self, variables: Variables) -> tuple[Hashable, ...]:
        """Those properties of the variables that change which statement is needed."""
        if self.variables is None:
            return self.normalized.plan_key(variables)
        if "plan_key" not in self.memo:
            self.memo["plan_key"] = self.normalized.plan_key(variables)
        found: tuple[Hashable, ...] = self.memo["plan_key"]
        return found
