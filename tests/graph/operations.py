"""Valid operations, made at random from the schema: every shape a client may send."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
)
from hypothesis import strategies as st

from graph.engine.specs import Report, spec_of

from .reference.arguments import Arguments
from .reference.people import ACTORS
from .reference.world import World

FIELD_BUDGET = 40
# Root fields below which most of the schema lies.
OFTEN = ["viewer"] * 13 + ["node", "nodes"]
DIRECTIVE_BUDGET = 8
FEATURES = {
    "alias",
    "same key twice",
    "__typename",
    "named fragment",
    "fragment in a fragment",
    "fragment spread twice",
    "inline fragment",
    "inline fragment without type",
    "fragment on an interface",
    "type of an interface",
    "@skip literal",
    "@skip variable",
    "@include literal",
    "@include variable",
    "literal",
    "variable",
    "variable with default",
    "variable left to its default",
    "variable left out",
    "null",
    "variable in an object",
    "variable in a list",
    "enum",
    "list",
    "where",
    "where on a relation",
    "orderBy",
    "first",
    "last",
    "after",
    "before",
    "stale cursor",
    "bad cursor",
    "bad size",
    "bad condition",
    "node",
    "node: existing",
    "node: foreign",
    "node: missing",
    "node: malformed",
    "nodes",
    "root list",
    "several root fields",
    "introspection",
    "introspection beside data",
    "depth 5",
}


@dataclass
class Operation:
    """An operation with its variables, who sends it, and which features it has."""

    text: str
    variables: dict[str, Any]
    actor: str
    features: set[str]


@dataclass
class Selected:
    """A response key: which field it is, with which arguments, and the keys below it."""

    parent: str
    name: str
    arguments: str
    below: dict[str, Selected] = field(default_factory=dict)


Scope = dict[str, Selected]


class Writer:
    """Writes one operation."""

    def __init__(self, draw: Any, schema: GraphQLSchema, world: World) -> None:
        self._draw = draw
        self._schema = schema
        self._features: set[str] = set()
        self._arguments = Arguments(draw, world, self._features)
        self._fragments: dict[str, tuple[str, str]] = {}  # name: type and text
        self._written: list[str] = []
        self._names = 0
        self._fields = FIELD_BUDGET
        self._lists_all = 2  # selections that name every field they can
        self._directives = DIRECTIVE_BUDGET

    def _one_in(self, number: int) -> bool:
        return bool(self._draw(st.integers(1, number)) == number)

    def _pick(self, items: list[Any]) -> Any:
        return self._draw(st.sampled_from(items))

    def operation(self) -> Operation:
        """The whole operation."""
        root = self._schema.query_type
        assert root is not None
        scope: Scope = {}
        parts = [self._root_part(root, scope) for _ in range(self._draw(st.integers(1, 3)))]
        roots = {selected.name for selected in scope.values()}
        if len(roots) > 1:
            self._features.add("several root fields")
        asked = roots & {"__schema", "__type"}
        self._features |= {"introspection"} if asked else set()
        self._features |= (
            {"introspection beside data"} if asked and len(roots) > len(asked) else set()
        )
        definitions = self._arguments.definitions
        head = f"query Q({', '.join(definitions)}) " if definitions else "query Q "
        text = " ".join([head + "{", *parts, "}", *self._written])
        actor = self._pick([*ACTORS, "ada", "ada", "ada", "ada"])
        return Operation(text, self._arguments.variables, actor, self._features)

    def _root_part(self, root: GraphQLObjectType, scope: Scope) -> str:
        if self._one_in(12):
            return self._introspection(scope)
        if self._one_in(10):
            self._features.add("__typename")
            return "__typename"
        # A report is what its SQL function says; it has tests of its own.
        names = [n for n, f in root.fields.items() if not isinstance(spec_of(f), Report)]
        name = self._pick([*names, *OFTEN])
        return self._field(root, name, 5, scope, "")

    def _introspection(self, scope: Scope) -> str:
        key = f"i{len(scope)}"
        if self._one_in(2):
            scope[key] = Selected("Query", "__schema", "")
            return f"{key}: __schema {{ __typename queryType {{ name }} types {{ name kind }} }}"
        scope[key] = Selected("Query", "__type", "")
        name = self._arguments.text(self._pick(["User", "None"]))
        return f"{key}: __type(name: {name}) {{ name fields {{ name type {{ kind }} }} }}"

    def _selection(self, graph_type: Any, depth: int, scope: Scope, prefix: str = "") -> str:
        if depth == 0:
            self._features.add("depth 5")
        number = self._draw(st.integers(2, 5))
        parts = [self._part(graph_type, depth, scope, prefix) for _ in range(number)]
        return "{ " + " ".join(parts) + " }"

    def _part(self, graph_type: Any, depth: int, scope: Scope, prefix: str) -> str:
        kind = self._draw(st.integers(0, 11))
        if kind == 1 or self._fields <= 0:
            self._features.add("__typename")
            return f"__typename{self._directive()}"
        self._fields -= 1 if kind in (2, 3, 4) else 0
        if kind == 2:
            self._features.add("inline fragment without type")
            inner = self._selection(graph_type, depth, scope, prefix)
            return f"...{self._directive()} {inner}"
        if kind == 3:
            return self._inline(graph_type, depth, scope, prefix)
        if kind == 4:
            return self._named(graph_type, depth)
        if isinstance(graph_type, GraphQLInterfaceType):
            return self._of_interface(graph_type, depth, scope, prefix)
        choices = [
            n for n, f in graph_type.fields.items() if depth or is_leaf_type(get_named_type(f.type))
        ]
        if kind == 5 and self._lists_all:
            return self._every_leaf(graph_type, depth, scope, prefix)
        choices += [n for n in choices if "first" in graph_type.fields[n].args] * 3
        if not choices:
            return "__typename"
        return self._field(graph_type, self._pick(choices), depth, scope, prefix)

    def _every_leaf(self, parent: GraphQLObjectType, depth: int, scope: Scope, prefix: str) -> str:
        self._lists_all -= 1
        names = [n for n, f in parent.fields.items() if is_leaf_type(get_named_type(f.type))]
        return " ".join(self._field(parent, name, depth, scope, prefix) for name in names)

    def _inline(self, graph_type: Any, depth: int, scope: Scope, prefix: str) -> str:
        interfaces = getattr(graph_type, "interfaces", ())
        if interfaces and self._one_in(2):
            self._features.add("fragment on an interface")
            inner = f"... on {graph_type.name} {self._selection(graph_type, depth, scope, prefix)}"
            return f"... on {interfaces[0].name}{self._directive()} {{ id {inner} }}"
        self._features.add("inline fragment")
        inner = self._selection(graph_type, depth, scope, prefix)
        return f"... on {graph_type.name}{self._directive()} {inner}"

    def _of_interface(
        self, graph_type: GraphQLInterfaceType, depth: int, scope: Scope, prefix: str
    ) -> str:
        if self._one_in(4):
            return "id"
        self._features.add("type of an interface")
        possible = [t.name for t in self._schema.get_possible_types(graph_type)]
        concrete = self._schema.type_map[self._pick(possible)]
        # Fields of different types may share a name and not a type, so each type has its prefix.
        inner = self._selection(concrete, depth, scope, f"{prefix}{concrete.name}_")
        return f"... on {concrete.name}{self._directive()} {inner}"

    def _named(self, graph_type: Any, depth: int) -> str:
        known = [n for n, (type_name, _) in self._fragments.items() if type_name == graph_type.name]
        if known and self._one_in(2):
            self._features.add("fragment spread twice")
            return f"...{self._pick(known)}{self._directive()}"
        self._names += 1
        name = f"F{self._names}"
        before = len(self._written)
        body = self._selection(graph_type, depth, {}, f"{name}_")
        self._features.add("named fragment")
        if len(self._written) > before:
            self._features.add("fragment in a fragment")
        self._written.append(f"fragment {name} on {graph_type.name} {body}")
        self._fragments[name] = (graph_type.name, body)
        return f"...{name}{self._directive()}"

    def _field(
        self, parent: GraphQLObjectType, name: str, depth: int, scope: Scope, prefix: str
    ) -> str:
        self._fields -= 1
        same = [
            key for key, found in scope.items() if (found.parent, found.name) == (parent.name, name)
        ]
        if same and self._one_in(2):
            self._features.add("same key twice")
            key = self._pick(same)
        else:
            key = self._new_key(parent, name, scope, prefix)
        selected = scope[key]
        definition = parent.fields[name]
        text = name if key == name else f"{key}: {name}"
        text += selected.arguments + self._directive()
        named = get_named_type(definition.type)
        if is_leaf_type(named):
            return text
        return f"{text} {self._selection(named, max(depth - 1, 0), selected.below)}"

    def _new_key(self, parent: GraphQLObjectType, name: str, scope: Scope, prefix: str) -> str:
        key = prefix + name
        if key in scope or self._one_in(5):
            self._features.add("alias")
            self._names += 1
            key = f"{prefix}a{self._names}"
        arguments = self._arguments.of(name, parent.fields[name])
        scope[key] = Selected(parent.name, name, arguments)
        return key

    def _directive(self) -> str:
        if self._directives <= 0 or not self._one_in(9):
            return ""
        self._directives -= 1
        name = self._pick(["skip", "include"])
        value = self._pick([name == "include", name == "include", name == "skip"])
        text = self._arguments.condition(value)
        self._features.add(f"@{name} {'variable' if text.startswith('$') else 'literal'}")
        return f" @{name}(if: {text})"


def operations(schema: GraphQLSchema, world: World) -> st.SearchStrategy[Operation]:
    """Operations over the schema that ask for what there is in `world`."""

    @st.composite
    def make(draw: Any) -> Operation:
        return Writer(draw, schema, world).operation()

    return make()
