"""Arguments at random: values that fit, as literals and as variables of every kind."""

from __future__ import annotations

import json
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLString,
    get_named_type,
    get_nullable_type,
)
from hypothesis import strategies as st
from strawberry.utils.str_converters import to_camel_case

from graph.engine.specs import ValueLookup, spec_of

from .discord_rows import guild_of
from .people import ADA, GUEST, STRANGER, TEXTS, known
from .world import World

MALFORMED = ["", "nothing", "user_", "profile_x", "user_' or 1=1 --", "none_1", "_", "tool_日本"]
BAD_CURSORS = ["", "x", "bm90IGpzb24=", "WyIxIiwgIm90aGVyOmlkIiwgMV0=", "日本"]
INTEGERS = [0, 1, 7, 2**31 - 1, -(2**31)]


class Arguments:
    """Writes the arguments of fields, and gathers the variables they use."""

    def __init__(self, draw: Any, world: World, features: set[str]) -> None:
        self._draw = draw
        self._world = world
        self._features = features
        self.variables: dict[str, Any] = {}
        self.definitions: list[str] = []

    def _pick(self, items: list[Any]) -> Any:
        return self._draw(st.sampled_from(items))

    def _one_in(self, number: int) -> bool:
        return bool(self._draw(st.integers(1, number)) == number)

    def condition(self, value: bool) -> str:
        """The `if` of a directive."""
        return self.emit(GraphQLNonNull(GraphQLBoolean), value)

    def text(self, value: str) -> str:
        """A text that must be given."""
        return self.emit(GraphQLNonNull(GraphQLString), value)

    def of(self, name: str, field: GraphQLField) -> str:
        """The arguments of a field, in their parentheses; nothing when it is given none."""
        given: dict[str, Any] = {}
        if "id" in field.args:
            self._features.add("node")
            given["id"] = self._node_id()
        elif "ids" in field.args:
            self._features.add("nodes")
            given["ids"] = [self._node_id() for _ in range(self._draw(st.integers(0, 4)))]
        elif isinstance(found := spec_of(field), ValueLookup):
            self._features.add("value")
            there = {
                "slug": [f"store-{known(u, 'store', n)}" for u in (ADA, GUEST) for n in range(2)],
                "guild_id": [guild_of(u, n) for u in (ADA, STRANGER) for n in range(3)],
            }[found.column]
            given[to_camel_case(found.column)] = self._pick([*there, *MALFORMED])
        elif "first" in field.args:
            given = self._page(name, field)
        elif "width" in field.args:
            self._features.add("width")
            widths: Any = get_named_type(field.args["width"].type)
            given["width"] = self._pick([None, *widths.values])
        elif not field.args:
            if isinstance(get_nullable_type(field.type), GraphQLList) and name.islower():
                self._features.add("root list")
            return ""
        parts = [f"{n}: {text}" for n, v in given.items() if (text := self._top(field.args[n], v))]
        return f"({', '.join(parts)})" if parts else ""

    def _top(self, argument: GraphQLArgument, value: Any) -> str:
        return self.emit(argument.type, value)

    def _node_id(self) -> str:
        kind = self._pick(["existing", "existing", "existing", "foreign", "missing", "malformed"])
        self._features.add(f"node: {kind}")
        if kind == "existing":
            return str(self._pick(self._world.ids[self._pick([*self._world.ids])]))
        if kind == "foreign":
            return str(self._pick(self._world.foreign))
        if kind == "malformed":
            return str(self._pick(MALFORMED))
        return str(self._pick(["profile_018f0000-0000-7000-8000-000000000000", "tool_gone"]))

    def _page(self, name: str, field: GraphQLField) -> dict[str, Any]:
        given: dict[str, Any] = {}
        order = ""
        if "orderBy" in field.args and self._one_in(3):
            self._features.add("orderBy")
            order_type: Any = get_nullable_type(field.args["orderBy"].type)
            by = self._pick(list(get_named_type(order_type.fields["field"].type).values))
            way = self._pick(["ASC", "DESC"])
            given["orderBy"] = {"field": by, "direction": way}
            order = f"{by} {way}"
        if "where" in field.args and self._one_in(2):
            self._features.add("where")
            page: Any = get_named_type(field.type)
            item: Any = get_named_type(page.fields["nodes"].type)
            given["where"] = self._where(get_named_type(field.args["where"].type), item)
        fault = self._pick([*[""] * 15, "size", "cursor", "condition"])
        given |= self._size(fault)
        given |= self._places(f"{name} {order}".strip(), fault)
        if fault == "condition" and "where" in field.args:
            self._features.add("bad condition")
            where = get_named_type(field.args["where"].type)
            assert isinstance(where, GraphQLInputObjectType)
            given["where"] = self._pick(
                [{"id": None}, {"id": {"eq": None}}, {"id": {"in": ["x"] * 101}}]
            )
        if self._one_in(8):
            self._features.add("null")
            given = {n: None for n in field.args if n not in given} | given
        return given

    def _size(self, fault: str) -> dict[str, Any]:
        if fault == "size":
            self._features.add("bad size")
            return self._pick([{"first": 0}, {"last": -1}, {"first": 101}, {"first": 1, "last": 1}])  # type: ignore[no-any-return]
        name = self._pick(["", "first", "first", "last"])
        if not name:
            return {}
        self._features.add(name)
        # Large pages are rare, since those below one another are refused as too complex.
        return {name: self._pick([1, 2, 2, 3, 3, 5, 5, 100])}

    def _places(self, page: str, fault: str) -> dict[str, Any]:
        given: dict[str, Any] = {}
        # Lists that are empty in this world have none.
        good = self._world.cursors.get(page, [])
        # Few lists have cursors whose rows are gone: chance alone would hardly reach those.
        stale = [cursor for cursor in good if cursor in self._world.stale]
        for name in ("after", "before"):
            if fault == "cursor" and not given:
                self._features.add("bad cursor")
                other = "notifications" if not page.startswith("notifications") else "profiles"
                given[name] = self._pick([*BAD_CURSORS, *self._world.cursors[other]])
            elif good and self._one_in(2 if stale else 4):
                self._features.add(name)
                given[name] = self._pick(stale if stale and self._one_in(3) else good)
                if given[name] in self._world.stale:
                    self._features.add("stale cursor")
        return given

    def _where(self, where: Any, item: Any) -> dict[str, Any]:
        names = self._draw(
            st.lists(st.sampled_from(list(where.fields)), min_size=1, max_size=2, unique=True)
        )
        made: dict[str, Any] = {}
        for name in names:
            filter_type: Any = get_named_type(where.fields[name].type)
            if name in item.fields and filter_type.name.endswith("Condition"):
                self._features.add("where on a relation")
                made[name] = self._where(filter_type, get_named_type(item.fields[name].type))
                continue
            words = st.lists(st.sampled_from(list(filter_type.fields)), max_size=2, unique=True)
            made[name] = {
                w: self._operand(filter_type.fields[w].type, item) for w in self._draw(words)
            }
        return made

    def _operand(self, type_: Any, item: Any) -> Any:
        type_ = get_nullable_type(type_)
        if isinstance(type_, GraphQLList):
            number = self._draw(st.integers(0, 3))
            return [self._operand(type_.of_type, item) for _ in range(number)]
        if isinstance(type_, GraphQLEnumType):
            return self._pick(list(type_.values))
        ids = self._world.ids.get(item.name, [])
        slugs = [text.partition("_")[2] for text in ids] if item.name in ("Tool", "Plan") else []
        choices: dict[str, list[Any]] = {
            "ID": [*ids, *ids, *slugs, *self._world.foreign, *MALFORMED],
            "DateTime": self._world.timestamps,
            "Boolean": [True, False],
            "Int": INTEGERS,
            "String": TEXTS,
        }
        return self._pick(choices[type_.name])

    def emit(self, type_: Any, value: Any, inside: str = "") -> str:
        """A value as a literal or a variable; `inside` names what it is a part of."""
        kind = self._pick(["literal", "literal", "given", "default", "unsaid"])
        if kind == "literal":
            return self._literal(type_, value, inside)
        if inside:
            self._features.add(f"variable in {inside}")
        name = f"v{len(self.definitions) + 1}"
        written = str(type_)
        if kind == "unsaid" and value is None and not inside:
            self._features.add("variable left out")
            self.definitions.append(f"${name}: {written}")
            return f"${name}"
        if kind == "given" or value is None:
            self._features.add("variable")
            if value is not None and self._one_in(3):
                written = f"{written.rstrip('!')}!"
            self.definitions.append(f"${name}: {written}")
            self.variables[name] = value
            return f"${name}"
        self._features.add("variable with default")
        default = value
        if kind == "unsaid":
            self._features.add("variable left to its default")
        else:
            self.variables[name] = value
        if isinstance(value, bool) and kind == "default":
            default = not value
        self.definitions.append(f"${name}: {written} = {constant(type_, default)}")
        return f"${name}"

    def _literal(self, type_: Any, value: Any, inside: str) -> str:
        type_ = get_nullable_type(type_)
        if isinstance(type_, GraphQLEnumType):
            self._features.add("enum")
        if isinstance(value, list):
            self._features.add("list")
            if not isinstance(type_, GraphQLList):
                return constant(type_, value)
            items = [
                self.emit(type_.of_type, item, "a list")
                if len(value) < 9
                else constant(type_.of_type, item)
                for item in value
            ]
            return f"[{', '.join(items)}]"
        if isinstance(value, dict) and isinstance(type_, GraphQLInputObjectType):
            parts = [
                f"{n}: {self.emit(type_.fields[n].type, v, 'an object')}" for n, v in value.items()
            ]
            return f"{{{', '.join(parts)}}}"
        if not inside:
            self._features.add("literal")
        return constant(type_, value)


def constant(type_: Any, value: Any) -> str:
    """A value as it is written in a document, without variables."""
    type_ = get_nullable_type(type_)
    if isinstance(value, list):
        inner = type_.of_type if isinstance(type_, GraphQLList) else type_
        return f"[{', '.join(constant(inner, item) for item in value)}]"
    if isinstance(value, dict):
        fields = getattr(type_, "fields", None)
        parts = [
            f"{n}: {constant(fields[n].type if fields else None, v)}" for n, v in value.items()
        ]
        return f"{{{', '.join(parts)}}}"
    if isinstance(type_, GraphQLEnumType) and value is not None:
        return str(value)
    return json.dumps(value, ensure_ascii=False)
