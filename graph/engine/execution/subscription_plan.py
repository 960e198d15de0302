"""What a subscription asks for: the statement of the state now, and how an event is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from graphql import (
    FieldNode,
    GraphQLError,
    VariableNode,
    get_named_type,
)
from sqlalchemy import FromClause, cast, null, true

from db.core.access import is_public
from db.core.actor import Actor
from db.core.errors import ErrorCode
from db.core.statement_functions import SEEN_OF_EVENTS
from graph.engine import specs
from graph.engine.execution.event_access import EventAccess
from graph.engine.planning.json_parts import TEXT, Json, build_object
from graph.engine.planning.named_rows import (
    NAMED,
    NOTHING_BUT_THE_ROW,
    only,
    parent_row,
)
from graph.engine.planning.parameters import Parameters
from graph.engine.planning.planner import Planner
from graph.engine.planning.planning import Planning
from graph.engine.planning.rows import as_object, table_behind
from graph.engine.planning.snapshots import (
    NeedsDatabase,
    Read,
    SnapshotReader,
    columns_asked_for,
    global_id_of,
)
from graph.engine.planning.statements import Statement, make_statement
from graph.engine.specs import spec_of
from graph.shared.changes import ChangeKind
from graph.shared.errors import RequestError

# Where the status of a row that grows stands beside what was asked for.
_STATE = "1"
_STATUS_OF_THE_ROW = only("status")


class SubscriptionPlan:
    """The statements of one subscription: one reads the state now, one reads an event's row.

    Where several tables share its topic, there is a plan for the rows of each beside it, and
    `of_event` gives the one for an event; such a plan reads no state now.
    """

    def __init__(self, planning: Planning, joint: str | None = None) -> None:
        root, fields = planning.root()
        if len(fields) != 1:
            raise refused("A subscription has exactly one field.")
        ((self.key, self.nodes),) = fields.items()
        self.definition = root.fields[self.nodes[0].name.value]
        spec = spec_of(self.definition)
        assert isinstance(spec, specs.Live)
        self.spec = spec if joint is None else replace(spec, field=joint)
        self.payload_type = as_object(get_named_type(self.definition.type))
        self.row_type = as_object(get_named_type(self.payload_type.fields[self.spec.field].type))
        self._planning = planning
        self.fields = planning.selections.collect(
            self.payload_type, [node.selection_set for node in self.nodes]
        )
        model = table_behind(self.row_type).model
        self.access = EventAccess(table_behind(self.row_type).table)
        self._deferred = self._asked_for() & set(model.watch.deferred if model.watch else ())
        self.is_public = is_public(table_behind(self.row_type).table)
        seen = cast(SEEN_OF_EVENTS.of(), TEXT)
        if joint is None:
            self.now = self._statement(self._current, ("snapshot", seen), growth=spec.growth)
        self.event = self._statement(self._of_event)
        self.from_snapshot = self._snapshot_readers()
        self._global_id = global_id_of(self.row_type)
        self.joint = {
            table_behind(plan.row_type).table.name: plan
            for plan in (SubscriptionPlan(planning, one) for one in spec.joint if joint is None)
        }

    def _statement(
        self,
        make: Callable[[Planner, str, list[FieldNode]], Json],
        *beside: tuple[str, Json],
        growth: specs.Growth | None = None,
    ) -> Statement:
        planner = self._planning.planner(Parameters())
        if growth is not None and self._asks_for(growth.field):
            column = table_behind(self.row_type).table.primary_key.columns[0]
            key = planner.parameters.key((self.spec.field,), column.type)
            beside += (("growth", cast(growth.so_far.of(key), TEXT)),)
        rows = [
            (key, make(planner, key, nodes))
            for key, nodes in self.fields.items()
            if nodes[0].name.value == self.spec.field
        ]
        if not rows and self.spec.entity_argument is not None and self.spec.within is None:
            # Who asks for the cursor alone still learns that there is no such row.
            rows.append((NAMED, make(planner, NAMED, [NOTHING_BUT_THE_ROW])))
        if beside and self.spec.within is not None:
            rows.append((NAMED, parent_row(planner, self._planning.schema, self.spec)))
        if growth is not None:
            rows.append((_STATE, make(planner, _STATE, [_STATUS_OF_THE_ROW])))
        # Response keys may be anything, so the rows stand in an object of their own.
        whole = build_object([("rows", build_object(rows)), *beside])
        finishers = [replace(f, path=("rows", *f.path)) for f in planner.finishers]
        return make_statement(whole, planner.parameters, finishers)

    def _asks_for(self, name: str) -> bool:
        return any(nodes[0].name.value == name for nodes in self.fields.values())

    def _asked_for(self) -> set[str]:
        return {
            column
            for nodes in self.fields.values()
            if nodes[0].name.value == self.spec.field
            for column in columns_asked_for(self._planning.selections, self.row_type, nodes)
        }

    def _current(self, planner: Planner, key: str, nodes: list[FieldNode]) -> Json:
        if self.spec.current == "nothing":
            return null()
        source = planner.source(self.row_type)
        if self.spec.current == "only":
            return planner.row(self.row_type, nodes, (key,), source, true())
        column = source.c[table_behind(self.row_type).key]
        wanted = (
            planner.parameters.actor()
            if self.spec.entity_argument is None
            else planner.parameters.key((self.spec.field,), column.type)
        )
        return planner.row(self.row_type, nodes, (key,), source, column == wanted)

    def _of_event(self, planner: Planner, key: str, nodes: list[FieldNode]) -> Json:
        source: FromClause = planner.snapshot_source(self.row_type, self._deferred)
        return planner.row(self.row_type, nodes, (key,), source)

    def _snapshot_readers(self) -> dict[str, Read] | None:
        """How each row of the payload is read from a snapshot; nothing when it takes SQL."""
        if self._deferred:
            return None
        reader = SnapshotReader(self._planning.selections, self._planning.renderer.for_field)
        try:
            return {
                key: reader.object(self.row_type, nodes)
                for key, nodes in self.fields.items()
                if nodes[0].name.value == self.spec.field
            }
        except NeedsDatabase:
            return None

    def variables_below(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The variables that the selection may depend on: not those of `after` and `id` alone."""
        own = {
            argument.value.name.value
            for argument in self.nodes[0].arguments or ()
            if isinstance(argument.value, VariableNode)
        }
        return {name: value for name, value in variables.items() if name not in own}

    def of_event(self, event: Any) -> SubscriptionPlan | None:
        """The plan for the table that an event is of; nothing for one that is unknown here."""
        return self.joint.get(event.snapshot["table"]) if self.joint else self

    def of_gone(self, event: Any) -> bytes | None:
        """The item of a row that is gone; nothing where the payload cannot say so."""
        if self.spec.gone is None:
            return None
        gone_id = self._global_id(event.snapshot)
        return self.response({}, event.cursor, ChangeKind.DELETED, gone_id)

    def passes_over(self, event: Any) -> bool:
        """Whether the stream shows nothing of such a change."""
        return self.spec.only_new and event.change != ChangeKind.ADDED.value

    def of_snapshot(self, event: Any, actor: Actor) -> bytes | None:
        """The item of an event whose snapshot holds all that was selected; made once for all."""
        if self.passes_over(event):
            return None
        made: dict[Any, bytes | None] = event.encoded
        if self.access.is_for_all and self in made:
            # Gone or not, it is the same for everybody.
            return made[self]
        if self.access.may_read(event, actor):
            if self not in made:
                made[self] = self._rendered(event)
            return made[self]
        gone = self.of_gone(event) if self.access.may_know(event, actor) else None
        if self.access.is_for_all:
            made[self] = gone
        return gone

    def _rendered(self, event: Any) -> bytes:
        assert self.from_snapshot is not None
        rows = {key: read(event.snapshot) for key, read in self.from_snapshot.items()}
        return self.response(
            rows, event.cursor, ChangeKind(event.change), grown=self.grown_by(event)
        )

    def has_ended(self, now: Mapping[str, Any]) -> bool:
        """Whether a row that grows had ended when the stream began."""
        growth = self.spec.growth
        return growth is not None and now["rows"][_STATE]["status"] in growth.ended

    def ends_with(self, event: Any) -> bool:
        """Whether an event is the last of a row that grows."""
        growth = self.spec.growth
        return growth is not None and event.snapshot.get("status") in growth.ended

    def grown_by(self, event: Any) -> str:
        """What the row of an event has more than before."""
        growth = self.spec.growth
        return event.snapshot.get(growth.field) or "" if growth is not None else ""

    def response(
        self,
        rows: Mapping[str, Any],
        cursor: str,
        kind: ChangeKind | None = None,
        gone_id: str | None = None,
        grown: str = "",
    ) -> bytes:
        """One item of the stream."""
        growth = self.spec.growth and self.spec.growth.field
        payload: dict[str, Any] = {}
        for key, nodes in self.fields.items():
            name = nodes[0].name.value
            if name == "cursor":
                payload[key] = cursor
            elif name == "__typename":
                payload[key] = self.payload_type.name
            elif name == self.spec.field:
                payload[key] = rows.get(key)
            elif name == self.spec.kind:
                payload[key] = kind and kind.name
            elif name == growth:
                payload[key] = grown
            else:
                payload[key] = gone_id if name == self.spec.gone else None
        # Put together anew: what orjson gives keeps 4 kB, however short it is.
        return b'{"data":' + orjson.dumps({self.key: payload}) + b"}"


def refused(message: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> RequestError:
    """The refusal of a subscription."""
    return RequestError([GraphQLError(message)], code)
