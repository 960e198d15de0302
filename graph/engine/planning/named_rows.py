"""The row that a subscription's argument names: whether whoever subscribes may see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import FieldNode, GraphQLObjectType, GraphQLSchema, NameNode, SelectionSetNode

from db.core.errors import not_found
from graph.engine.planning.json_parts import Json
from graph.engine.planning.planner import Planner
from graph.engine.planning.rows import table_behind
from graph.engine.specs import Live, backing_of

# Where it stands beside what was asked for: no response key begins with a digit.
NAMED = "0"


def only(field: str) -> FieldNode:
    """A selection of one field of the row."""
    chosen = FieldNode(name=NameNode(value=field))
    return FieldNode(
        name=NameNode(value="row"), selection_set=SelectionSetNode(selections=(chosen,))
    )


NOTHING_BUT_THE_ROW = only("__typename")


def parent_row(planner: Planner, schema: GraphQLSchema, spec: Live) -> Json:
    """The row that the events' rows are within; null for who may not see it."""
    parent = next(
        found
        for found in schema.type_map.values()
        if isinstance(found, GraphQLObjectType)
        and (backing := backing_of(found)) is not None
        and backing.prefix == spec.within
    )
    source = planner.source(parent)
    column = source.c[table_behind(parent).key]
    wanted = planner.parameters.key((spec.field,), column.type)
    return planner.row(parent, [NOTHING_BUT_THE_ROW], (NAMED,), source, column == wanted)


def require_named(spec: Live, rows: Mapping[str, Any]) -> None:
    """Refuses a subscription to a row, or to rows within one, that its user may not see."""
    named = rows.values() if spec.within is None else (rows[NAMED],)
    if spec.entity_argument is not None and None in named:
        what = "".join(
            f" {one.lower()}" if one.isupper() else one for one in spec.within or spec.field
        )
        raise not_found(what, (spec.entity_argument,))
