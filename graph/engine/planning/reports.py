"""Reports: root lists whose rows a SQL function makes of what the actor owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from graphql import FieldNode, GraphQLField, get_named_type
from sqlalchemy import ColumnElement, column, literal_column, select

from graph.engine import specs
from graph.engine.planning.faults import Path
from graph.engine.planning.json_parts import Json, json_agg, list_of
from graph.engine.planning.parameters import Request
from graph.engine.planning.planner import Planner
from graph.engine.planning.rows import as_object

POSITION = "position"


def report(
    planner: Planner,
    spec: specs.Report,
    definition: GraphQLField,
    nodes: Sequence[FieldNode],
    path: Path,
    owner: ColumnElement[Any] | None = None,
) -> Json:
    """The rows of a report as a JSON list, in the function's order.

    They are of the user whom `owner` names, a column of the row around; of the actor without it;
    of nobody where the report is public or for admins.
    """
    if not (planner.signed_in or spec.is_public):
        return literal_column("'[]'::json")
    read = planner.read_arguments(definition, nodes[0])
    parameters = [
        planner.parameters.add(partial(_value, read, make), type_)
        for type_, make in spec.parameters
    ]
    if not (spec.is_public or spec.for_admins):
        parameters.insert(0, planner.parameters.actor() if owner is None else owner)
    call = spec.function.of(*parameters)
    columns = [column(name, type_) for name, type_ in spec.columns]
    rows = call.table_valued(*columns, with_ordinality=POSITION)
    # Its columns are named here: an ordinality has no name of its own.
    source = rows.render_derived(name=planner.next_name())
    named = as_object(get_named_type(definition.type))
    made = planner.object(named, nodes, source, (*path, None))
    ordered = select(made.label("item")).select_from(source).order_by(source.c[POSITION])
    if owner is not None:
        ordered = ordered.correlate(owner.table)
    items = ordered.subquery(planner.next_name())
    return select(list_of(json_agg(items.c.item))).scalar_subquery()


def _value(
    read: Callable[[Any], Mapping[str, Any]],
    make: Callable[[Mapping[str, Any]], Any],
    request: Request,
) -> Any:
    return make(read(request.variables))
