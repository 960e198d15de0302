"""Reports: root lists whose rows a SQL function makes of what the actor owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from graphql import FieldNode, GraphQLField, get_named_type
from sqlalchemy import column, func, literal_column, select

from graph.engine import specs
from graph.engine.faults import Path
from graph.engine.json_parts import Json, json_agg, list_of
from graph.engine.parameters import Request
from graph.engine.plan import Planner, as_object

POSITION = "position"


def report(
    planner: Planner,
    spec: specs.Report,
    definition: GraphQLField,
    nodes: Sequence[FieldNode],
    path: Path,
) -> Json:
    """The rows of a report as a JSON list, in the function's order."""
    if not planner.signed_in:
        return literal_column("'[]'::json")
    read = planner.read_arguments(definition, nodes[0])
    parameters = [
        planner.parameters.add(partial(_value, read, make), type_)
        for type_, make in spec.parameters
    ]
    schema, name = spec.function.split(".")
    call = getattr(getattr(func, schema), name)(planner.parameters.actor(), *parameters)
    columns = [column(name, type_) for name, type_ in spec.columns]
    rows = call.table_valued(*columns, with_ordinality=POSITION, name=planner.next_name())
    source = rows.render_derived()  # its columns named here: an ordinality has no name of its own
    named = as_object(get_named_type(definition.type))
    made = planner.object(named, nodes, source, (*path, None))
    ordered = select(made.label("item")).select_from(source).order_by(source.c[POSITION])
    items = ordered.subquery(planner.next_name())
    return select(list_of(json_agg(items.c.item))).scalar_subquery()


def _value(
    read: Callable[[Request], Mapping[str, Any]],
    make: Callable[[Mapping[str, Any]], Any],
    request: Request,
) -> Any:
    return make(read(request))
