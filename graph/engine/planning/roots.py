"""Root fields of a query: the viewer, lists of bounded tables, and rows by their global ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from graphql import FieldNode, GraphQLField, GraphQLObjectType, GraphQLSchema, get_named_type
from sqlalchemy import Text, case, func, literal_column, not_, null, true
from strawberry.utils.str_converters import to_camel_case

from db.core.base import Base
from db.core.errors import DomainError, ErrorCode, forbidden, sign_in_first
from db.core.predicates import came_with_less, is_admin
from graph.engine import specs
from graph.engine.planning.faults import Path
from graph.engine.planning.json_parts import Json, text_literal
from graph.engine.planning.pages import PageBuilder
from graph.engine.planning.parameters import Request
from graph.engine.planning.planner import Guard, Planner
from graph.engine.planning.reports import report
from graph.engine.planning.rows import as_object, key_value, table_behind
from graph.engine.specs import backing_of, spec_of
from graph.shared.relay import MAX_PAGE_SIZE, split_global_id


class Roots:
    """Plans the root fields of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._types_by_prefix = {
            backing.prefix: graph_type.name
            for graph_type in schema.type_map.values()
            if (backing := backing_of(graph_type)) is not None and backing.prefix
        }

    def field(
        self, planner: Planner, root: GraphQLObjectType, key: str, nodes: Sequence[FieldNode]
    ) -> Json:
        """The value of one root field, `__typename` included."""
        name = nodes[0].name.value
        if name == "__typename":
            return text_literal(root.name)
        definition = root.fields[name]
        value = partial(self._value, planner, definition, key, nodes)
        return planner.field(definition, (key,), value)

    def _value(
        self, planner: Planner, definition: GraphQLField, key: str, nodes: Sequence[FieldNode]
    ) -> Json:
        named = get_named_type(definition.type)
        match spec_of(definition):
            case specs.ViewerRow():
                source = planner.source(named)
                own = source.c[table_behind(named).key] == planner.parameters.actor()
                return planner.row(named, nodes, (key,), source, own)
            case specs.OnlyRow():
                return planner.row(named, nodes, (key,), planner.source(named), true())
            case specs.Rows(order, for_admins, _, only):
                item = as_object(named)
                build = partial(planner.rows, item, nodes, (key,), order, only=only)
                return self._for_admins(planner, key, build) if for_admins else build()
            case specs.Page() as page:
                return self._for_admins(
                    planner,
                    key,
                    lambda: PageBuilder(
                        planner, page, definition, nodes, None, None, (key,)
                    ).build(),
                )
            case specs.Report() as made:
                build = partial(report, planner, made, definition, nodes, (key,))
                return self._for_admins(planner, key, build) if made.for_admins else build()
            case specs.NodeLookup(many, of_type):
                read = planner.read_arguments(definition, nodes[0])
                now = planner.arguments_now(definition, nodes[0])
                if of_type and split_global_id(now["id"])[0] != table_behind(named).prefix:
                    return literal_column("null::json")
                if not many:
                    return self._node(planner, nodes, (key,), now["id"], partial(_id, read))
                return self._nodes(planner, nodes, key, now["ids"], read)
            case specs.ValueLookup(column):
                read = planner.read_arguments(definition, nodes[0])
                source = planner.source(named)
                wanted = planner.parameters.add(
                    partial(_argument, read, to_camel_case(column)), Text()
                )
                return planner.row(named, nodes, (key,), source, source.c[column] == wanted)
            case spec:
                raise TypeError(f"{nodes[0].name.value} is declared as {spec!r}")

    @staticmethod
    def _for_admins(planner: Planner, key: str, build: Callable[[], Json]) -> Json:
        """A root list of everybody's rows: refused to everybody but admins."""
        if not planner.signed_in:
            raise sign_in_first()
        planner.finishers.append(Guard((key,), forbidden))
        asked = is_admin(Base.metadata, planner.parameters.actor()) & not_(came_with_less())
        with planner.for_admins_too():
            return case((asked, build()), else_=null())

    def _nodes(
        self,
        planner: Planner,
        nodes: Sequence[FieldNode],
        key: str,
        ids: Sequence[str],
        read: Callable[[Any], dict[str, Any]],
    ) -> Json:
        if len(ids) > MAX_PAGE_SIZE:
            raise DomainError(
                ErrorCode.LIMIT_EXCEEDED,
                f"`ids` may have at most {MAX_PAGE_SIZE} items; it has {len(ids)}.",
            )
        planner.nullable.update({(key, n): True for n in range(len(ids))})
        return func.json_build_array(
            *(
                self._node(planner, nodes, (key, n), node_id, partial(_nth_id, read, n))
                for n, node_id in enumerate(ids)
            )
        )

    def _node(
        self,
        planner: Planner,
        nodes: Sequence[FieldNode],
        path: Path,
        id_now: str,
        read_id: Callable[[Request], str],
    ) -> Json:
        type_name = self._types_by_prefix.get(split_global_id(id_now)[0])
        if type_name is None:
            return literal_column("null::json")
        named = as_object(self._schema.type_map[type_name])
        source = planner.source(named)
        column = source.c[table_behind(named).key]

        wanted = partial(_key, read_id, column.type.python_type)
        condition = column == planner.parameters.add(wanted, column.type)
        with planner.for_admins_too():
            return planner.row(named, nodes, path, source, condition)


def _key(read_id: Callable[[Request], str], python_type: type, request: Request) -> Any:
    try:
        return key_value(split_global_id(read_id(request))[1], python_type)
    except DomainError:
        return None  # an id that cannot be: it finds nothing


def _id(read: Callable[[Any], dict[str, Any]], request: Request) -> str:
    return str(read(request.variables)["id"])


def _argument(read: Callable[[Any], dict[str, Any]], name: str, request: Request) -> str:
    return str(read(request.variables)[name])


def _nth_id(read: Callable[[Any], dict[str, Any]], number: int, request: Request) -> str:
    return str(read(request.variables)["ids"][number])
