"""The estimated cost and rows of an operation, as a formula over its variables' page sizes.

The cost counts values: 1 for each field asked for, times the sizes of the lists around it. What
takes more work than a value counts for more: a column that may be large 1 for each 16 KiB, a field
computed in Python 5, each operator in a
`where` 10, a total count 200, a mutation 100. Rows are those the statement may read: 1 for an
object from a table, a page's size for the items of a connection, 100 for a list of the catalog or
a report, the most that a short list may have, times the lists around it. The values of
introspection count in proportion to the whole schema, which has a fixed cost. A page's size is
`first` or `last`, else 20. Conditions (@skip, @include) count as if they let everything in, and an
object of several possible types counts as the dearest of them.

Bytes are the most that the answer can have. What a table declares of its large columns is apart
from all else, since the statement itself stops at what they really have.

The formula is made once for each operation; one without variables in it is already a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import ceil
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    ValueNode,
    VariableNode,
    get_introspection_query,
    get_named_type,
    is_abstract_type,
    is_interface_type,
    is_object_type,
    parse,
)

from db.core.yield_points import yield_point
from graph.engine import specs
from graph.engine.documents.limits import Limits, too_complex
from graph.engine.specs import backing_of, python_name, spec_of
from graph.shared.relay import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

COMPUTED_COST = 5
OPERATOR_COST = 10
TOTAL_COUNT_COST = 200
MUTATION_COST = 100
# The whole schema at once, about 100 ms of the processor; within QUERY_COST_LIMIT however many
# types there are.
INTROSPECTION_COST = 15_000
CATALOG_ROWS = 100
COST_BYTES = 16_384
# A key, a value and what stands between them; and a character of a text in UTF-8.
VALUE_BYTES = 100
CHARACTER_BYTES = 4
# Lists that differ in nothing but where they stand share what is known of them.
ALIKE_KEPT = 4_096
# All that clients ask for of a schema.
_WHOLE = {
    "specified_by_url": True,
    "directive_is_repeatable": True,
    "schema_description": True,
    "input_value_deprecation": True,
}
META_FIELDS = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}

CoercedVariables = Mapping[str, Any]
Size = Callable[[CoercedVariables], float]


def asks_for_cost(request: Mapping[str, Any]) -> bool:
    """Whether a request wants to be told its cost: `extensions: {cost: true}`."""
    extensions = request.get("extensions") or {}
    return extensions.get("cost") is True


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one request is expected to take."""

    cost: int
    rows: int
    bytes: int = field(default=0, compare=False)
    large_bytes: int = field(default=0, compare=False)

    def room_bytes(self, limits: Limits) -> int:
        """The most bytes that the answer can have."""
        return self.bytes + min(self.large_bytes, limits.answer_bytes)

    def shown(self, limits: Limits) -> dict[str, int]:
        """The estimate beside its limits, as it appears in `extensions.cost`."""
        return {
            "requested": self.cost,
            "limit": limits.cost,
            "rows": self.rows,
            "rowLimit": limits.rows,
        }

    def check(self, limits: Limits) -> None:
        """Refuses what is above a limit."""
        for what, asked, limit in (
            ("cost", self.cost, limits.cost),
            ("number of rows", self.rows, limits.rows),
            ("size in bytes", self.bytes, limits.answer_bytes),
        ):
            if asked > limit:
                raise too_complex(
                    f"The {what} of this request is estimated at {asked}; {limit} is allowed. "
                    "Ask for smaller pages or fewer lists inside lists."
                )


@dataclass(slots=True)
class Formula:
    """A cost and a number of rows, and further ones times sizes that the variables give."""

    cost: float = 0
    rows: float = 0
    bytes: float = 0
    large_bytes: float = 0
    lists: tuple[tuple[Size, Formula], ...] = ()

    def add(self, inner: Formula, size: float | Size = 1) -> None:
        """Adds another formula, times a size."""
        if callable(size):
            self.lists += (_sized(size, inner),)
            return
        self.cost += size * inner.cost
        self.rows += size * inner.rows
        self.bytes += size * inner.bytes
        self.large_bytes += size * inner.large_bytes
        for inner_size, nested in inner.lists:
            self.lists += ((_times(inner_size, size), nested),)

    def at(self, variables: CoercedVariables) -> tuple[float, float, float, float]:
        """The cost, the rows, and the bytes, the large ones apart, for these variables."""
        cost, rows, size_bytes, large_bytes = self.cost, self.rows, self.bytes, self.large_bytes
        for size, inner in self.lists:
            count = size(variables)
            inner_cost, inner_rows, inner_bytes, inner_large_bytes = inner.at(variables)
            cost += count * inner_cost
            rows += count * inner_rows
            size_bytes += count * inner_bytes
            large_bytes += count * inner_large_bytes
        return cost, rows, size_bytes, large_bytes

    def estimate(self, variables: CoercedVariables) -> Estimate:
        """The estimate for these variables."""
        return Estimate(*map(ceil, self.at(variables)))


def _sized(size: Size, inner: Formula) -> tuple[Size, Formula]:
    """The same pair for what is alike, which a document of many lists repeats."""
    if inner.lists:
        return size, inner
    return _alike(size, inner.cost, inner.rows, inner.bytes, inner.large_bytes)


@lru_cache(ALIKE_KEPT)
def _alike(
    size: Size, cost: float, rows: float, size_bytes: float, large_bytes: float
) -> tuple[Size, Formula]:
    return size, Formula(cost, rows, size_bytes, large_bytes)


def _times(size: Size, factor: float) -> Size:
    return size if factor == 1 else lambda variables: factor * size(variables)


class _Largest(Mapping[str, Any]):
    """CoercedVariables of an unknown request: every page as large as it can be."""

    def __getitem__(self, name: str) -> int:
        return MAX_PAGE_SIZE

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


class Pricing:
    """Makes formulas for one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self.list_sizes = _introspected_sizes(schema)

    @cached_property
    def introspected_cost(self) -> float:
        """What one value of introspection costs; made when the first is asked for."""
        operation, *others = parse(get_introspection_query(**_WHOLE)).definitions
        assert isinstance(operation, OperationDefinitionNode)
        fragments = {f.name.value: f for f in others if isinstance(f, FragmentDefinitionNode)}
        return INTROSPECTION_COST / _Pricer(self, fragments, 1).of(operation).cost

    def formula(
        self,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> Formula:
        """The formula of a valid operation."""
        return _Pricer(self, fragments).of(operation)


class _Pricer:
    """Walks one operation."""

    def __init__(
        self,
        pricing: Pricing,
        fragments: Mapping[str, FragmentDefinitionNode],
        introspected_cost: float | None = None,
    ) -> None:
        self._pricing = pricing
        self._introspected_cost = introspected_cost
        self._schema = pricing.schema
        self._list_sizes = pricing.list_sizes
        self._fragments = fragments

    def of(self, operation: OperationDefinitionNode) -> Formula:
        """The whole operation."""
        root = self._schema.get_root_type(operation.operation)
        assert root is not None
        return self.object(root, [operation.selection_set])

    def object(
        self, graph_type: GraphQLObjectType, sets: Iterable[SelectionSetNode | None]
    ) -> Formula:
        """The fields of one object."""
        total = Formula()
        for nodes in self._collect(graph_type, sets).values():
            total.add(self._field(graph_type, nodes))
        return total

    def _field(self, graph_type: GraphQLObjectType, nodes: list[FieldNode]) -> Formula:
        yield_point()
        name = nodes[0].name.value
        total = Formula(cost=self._value_cost(graph_type), bytes=VALUE_BYTES)
        if name == "__typename":
            return total
        definition = META_FIELDS.get(name) or graph_type.fields[name]
        match spec_of(definition):
            case specs.Page() as page:
                total.add(self._page(page, definition, nodes))
                return total
            case specs.Rows(at_most=at_most):
                total.add(self._below(definition, nodes, rows=1), at_most)
                return total
            case specs.Report():
                total.add(self._below(definition, nodes, rows=1), CATALOG_ROWS)
                return total
            case specs.RelatedRows(at_most=at_most):
                total.add(self._below(definition, nodes, rows=1), at_most)
                return total
            case specs.NodeLookup(many=True):
                total.add(self._below(definition, nodes, rows=1), size_of(nodes[0], "ids"))
                return total
            case (
                specs.RelatedRow()
                | specs.ViewerRow()
                | specs.OnlyRow()
                | specs.NodeLookup()
                | specs.ValueLookup()
                | specs.Live()
            ):
                total.rows += 1
            case specs.Column(column):
                total.add(_column_weight(graph_type, column or python_name(definition)))
            case specs.Computed():
                total.cost += COMPUTED_COST - 1
            case specs.Mutate():
                total.cost += MUTATION_COST - 1
                total.rows += 1
        size = self._list_sizes.get((graph_type.name, name), 1)
        total.add(self._below(definition, nodes), size)
        return total

    def _value_cost(self, graph_type: GraphQLObjectType) -> float:
        if not graph_type.name.startswith("__"):
            return 1
        return self._introspected_cost or self._pricing.introspected_cost

    def _page(self, page: specs.Page, definition: GraphQLField, nodes: list[FieldNode]) -> Formula:
        connection = get_named_type(definition.type)
        assert isinstance(connection, GraphQLObjectType)
        total, item = Formula(), Formula(rows=1)
        selected = self._collect(connection, [node.selection_set for node in nodes])
        for found in selected.values():
            name = found[0].name.value
            if name in {"nodes", "edges"}:
                item.cost += 1
                item.add(self._below(connection.fields[name], found))
            elif name == "totalCount":
                total.cost += TOTAL_COUNT_COST
            else:
                total.add(self._field(connection, found))
        total.add(item, size_of(nodes[0], "first", "last", default=page.default_size))
        for argument in nodes[0].arguments or ():
            if argument.name.value == "where":
                total.add(Formula(cost=OPERATOR_COST), operators_in(argument.value))
        return total

    def _below(self, definition: GraphQLField, nodes: list[FieldNode], rows: float = 0) -> Formula:
        """One object of a field's type, the dearest when it can be of several; else nothing."""
        named = get_named_type(definition.type)
        sets = [node.selection_set for node in nodes]
        total = Formula(rows=rows)
        if isinstance(named, GraphQLObjectType):
            total.add(self.object(named, sets))
        elif is_abstract_type(named):
            possible = [self.object(one, sets) for one in self._schema.get_possible_types(named)]
            total.add(max(possible, key=lambda formula: formula.at(_Largest())))
        return total

    def _collect(
        self, graph_type: GraphQLObjectType, sets: Iterable[SelectionSetNode | None]
    ) -> dict[str, list[FieldNode]]:
        """The fields of an object by response key, as if every condition let them in."""
        found: dict[str, list[FieldNode]] = {}
        opened: set[str] = set()
        waiting = [selection_set for selection_set in sets if selection_set]
        for selection_set in waiting:  # grows while fragments are opened
            for selection in selection_set.selections:
                if isinstance(selection, FieldNode):
                    key = (selection.alias or selection.name).value
                    found.setdefault(key, []).append(selection)
                    continue
                part: Any = selection
                if part.kind == "fragment_spread":
                    if part.name.value in opened:
                        continue
                    opened.add(part.name.value)
                    part = self._fragments[part.name.value]
                condition = part.type_condition
                if condition is None or self._applies(condition.name.value, graph_type):
                    waiting.append(part.selection_set)
        return found

    def _applies(self, condition: str, graph_type: GraphQLObjectType) -> bool:
        if condition == graph_type.name:
            return True
        abstract = self._schema.type_map[condition]
        return is_abstract_type(abstract) and self._schema.is_sub_type(abstract, graph_type)


def _column_weight(graph_type: GraphQLObjectType, name: str) -> Formula:
    """What a column weighs beyond a value."""
    backing = backing_of(graph_type)
    if backing is None:
        return Formula()
    if large_bytes := backing.model.large.get(name):
        return Formula(cost=large_bytes / COST_BYTES, large_bytes=large_bytes)
    characters = getattr(backing.table.c[name].type, "length", None) or 0
    return Formula(bytes=CHARACTER_BYTES * characters)


def size_of(node: FieldNode, *sizing: str, default: int = DEFAULT_PAGE_SIZE) -> float | Size:
    """How many items a field asks for; what cannot be is refused when the field is planned."""
    given = [one.value for one in node.arguments or () if one.name.value in sizing]
    names = tuple(value.name.value for value in given if isinstance(value, VariableNode))
    literals = [_literal_size(value) for value in given]
    fixed = max((count for count in literals if count is not None), default=None)
    if not names:
        return default if fixed is None else fixed

    return _size_in(names, fixed, default)


@lru_cache(ALIKE_KEPT)
def _size_in(names: tuple[str, ...], fixed: int | None, default: int) -> Size:
    """The size that these variables give; the same function for the same names."""

    def size(variables: CoercedVariables) -> float:
        sizes = [_possible(value) for name in names if (value := variables.get(name)) is not None]
        if fixed is not None:
            sizes.append(fixed)
        return max(sizes, default=default)

    return size


def operators_in(where: ValueNode) -> float | Size:
    """How many operators a `where` has, those within its variables included."""
    fixed, names = 0, []
    waiting = [where]
    for value in waiting:  # grows while objects are opened
        if isinstance(value, ObjectValueNode):
            waiting += [inner.value for inner in value.fields]
        elif isinstance(value, VariableNode):
            names.append(value.name.value)
        else:
            fixed += 1
    if not names:
        return fixed
    return lambda variables: fixed + sum(_operators(variables.get(name)) for name in names)


def _operators(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_operators(inner) for inner in value.values())
    return 0 if value is None else 1


def _literal_size(value: ValueNode) -> int | None:
    if isinstance(value, ListValueNode):
        return _possible(value.values)
    return _possible(int(value.value)) if isinstance(value, IntValueNode) else None


def _possible(size: int | Sized) -> int:
    count = size if isinstance(size, int) else len(size)
    return min(max(count, 1), MAX_PAGE_SIZE)


def _introspected_sizes(schema: GraphQLSchema) -> dict[tuple[str, str], float]:
    """How long the lists of introspection are, by the mean over the schema's types."""
    types = list(schema.type_map.values())
    objects = [one for one in types if is_object_type(one) or is_interface_type(one)]
    inputs = [one for one in types if isinstance(one, GraphQLInputObjectType)]
    fields = [one for graph_type in objects for one in graph_type.fields.values()]
    input_fields = sum(len(one.fields) for one in inputs)
    return {
        ("__Schema", "types"): len(types),
        ("__Schema", "directives"): len(schema.directives),
        ("__Type", "fields"): len(fields) / len(types),
        ("__Type", "inputFields"): input_fields / len(types),
        ("__Type", "interfaces"): 0.5,
        ("__Type", "possibleTypes"): 0.5,
        ("__Type", "enumValues"): 1,
        ("__Type", "ofType"): 0.5,
        ("__Field", "args"): sum(len(one.args) for one in fields) / len(fields),
        ("__Directive", "args"): 2,
    }
