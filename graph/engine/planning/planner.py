"""Plans: a selection becomes one SQL expression that builds the finished JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    get_named_type,
    is_nullable_type,
)
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    case,
    cast,
    false,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy import column as sql_column

from db.core.access import is_public
from db.core.errors import DomainError
from db.core.predicates import ownership_predicate
from db.core.rereading import readable_columns, reread_name
from db.core.yield_points import yield_point
from graph.engine import specs
from graph.engine.planning.faults import FieldFault, Path, blamed_on, kept
from graph.engine.planning.json_parts import (
    TEXT,
    Json,
    build_object,
    formatted,
    global_id,
    key_behind,
    leaf,
    list_of_column,
    measured,
    source_of,
    text_literal,
)
from graph.engine.planning.parameters import Parameters
from graph.engine.planning.rows import as_object, sorted_by, table_behind
from graph.engine.planning.selection import Selections, sub_selections
from graph.engine.specs import backing_of, python_name, spec_of

Arguments = dict[str, Any]


class ColumnsOfRow:
    """What a computed field's method gets as `self`: the columns it named."""

    def __init__(self, columns: Sequence[str], values: Sequence[Any]) -> None:
        self.__dict__.update(zip(columns, values, strict=True))


@dataclass(frozen=True)
class Finisher:
    """A value at `path` that Python makes from what the statement put there.

    That is the columns, then the field's arguments: they travel through SQL, because a plan serves
    many requests.
    """

    path: Path
    columns: tuple[str, ...]
    arguments: tuple[str, ...]
    function: Callable[..., Any]
    render: Callable[[Any], Any]

    def finish(self, node: Any, step: str | int) -> None:
        """Replaces what stands at `step` of `node`."""
        count, values = len(self.columns), node[step]
        if values is None:
            return
        row = ColumnsOfRow(self.columns, values[:count])
        arguments = dict(zip(self.arguments, values[count:], strict=True))
        node[step] = self.render(self.function(row, **arguments))


@dataclass(frozen=True)
class Guard:
    """A field at `path` that is null only for whom it is refused to."""

    path: Path
    refusal: Callable[[], DomainError]

    def finish(self, node: Any, step: str | int) -> None:
        """Refuses the field where it is null."""
        if node[step] is None:
            raise FieldFault(self.path, self.refusal())


def _name_of_choice(read: Callable[..., Arguments], argument: str, request: Any) -> str | None:
    choice = read(request.variables).get(argument)
    return None if choice is None else str(choice.name)


class Planner:
    """Builds the SQL of one operation's selections for one plan cache key.

    `read_arguments(definition, node)` gives a function from the variables to the field's arguments;
    `render(definition, nodes)` gives the function that writes a computed value as JSON; `page`
    builds a connection (`build_page()` of pages.py).
    """

    def __init__(
        self,
        selections: Selections,
        parameters: Parameters,
        read_arguments: Callable[[GraphQLField, FieldNode], Callable[..., Arguments]],
        arguments_now: Callable[[GraphQLField, FieldNode], Arguments],
        render: Callable[[GraphQLField, Sequence[FieldNode]], Callable[[Any], Any]],
        page: Callable[..., Json],
        *,
        signed_in: bool,
        answer_bytes: int,
        faults: Mapping[Path, FieldFault],
        collected: dict[Path, FieldFault] | None = None,
    ) -> None:
        self.signed_in = signed_in
        self.answer_bytes = answer_bytes
        self._faults = faults
        # What was found wrong with fields of this plan; without it the first one is raised.
        self._collected = collected
        # Every planned field in the document's order, with whether it may be null.
        self.nullable: dict[Path, bool] = {}
        self._selections = selections
        self._render = render
        self._page = page
        self.parameters = parameters
        self.read_arguments = read_arguments
        self.arguments_now = arguments_now
        self.finishers: list[Finisher | Guard] = []
        # Whether what is planned now shows admins what they may read beside their own.
        self._as_admin = False
        # Whether related rows are read as this statement's function has left them.
        self.rereads = False
        self._aliases = 0

    def collect(
        self, graph_type: GraphQLObjectType, nodes: Sequence[FieldNode]
    ) -> dict[str, list[FieldNode]]:
        """The fields selected below `nodes`, by response key."""
        return self._selections.collect(graph_type, sub_selections(nodes))

    def next_name(self) -> str:
        """A name for a row source, its own in the statement."""
        self._aliases += 1
        return f"t{self._aliases}"

    def source(self, named: GraphQLNamedType) -> FromClause:
        """The table behind a type, under a name of its own in this statement.

        Where the asking role may not name it, as many columns and no row.
        """
        table = table_behind(named).table
        if self.may_name(named):
            return source_of(table, self.next_name())
        columns = (cast(null(), c.type).label(c.name) for c in table.columns)
        return select(*columns).where(false()).subquery(self.next_name())

    def snapshot_source(
        self, named: GraphQLNamedType, deferred: Collection[str] = ()
    ) -> FromClause:
        """The row of an event instead of the table, but `deferred` as they are now."""
        table, key = table_behind(named).table, table_behind(named).key
        record = func.jsonb_populate_record(
            literal_column(f"null::{table.name}"), self.parameters.snapshot()
        )
        columns = [sql_column(c.name, c.type) for c in table.columns]
        snapshot = record.table_valued(*columns, name=self.next_name())
        if not deferred:
            return snapshot
        row = self.source(named)
        whole = select(
            *(row.c[c.name] if c.name in deferred else snapshot.c[c.name] for c in columns)
        )
        joined = whole.select_from(snapshot.join(row, row.c[key] == snapshot.c[key]))
        return joined.where(self.ownership_condition(named, row)).subquery(self.next_name())

    def reread_source(self, named: GraphQLNamedType, key: ColumnElement[Any]) -> FromClause:
        """The row with this key instead of the table, as this statement's call has left it."""
        backing = table_behind(named)
        call = getattr(func.app, reread_name(backing.table))(key)
        readable = readable_columns(backing.table, backing.model.access)
        columns = [sql_column(c.name, c.type) for c in readable]
        return call.table_valued(*columns, name=self.next_name())  # type: ignore[no-any-return]

    def ownership_condition(
        self, named: GraphQLNamedType, source: FromClause
    ) -> ColumnElement[bool]:
        """Which rows of `source` the actor may read."""
        model, actor = table_behind(named).model, self.parameters.actor()
        return ownership_predicate(
            model, source, actor, as_admin=self._as_admin, rereads=self.rereads
        )

    @contextmanager
    def for_admins_too(self) -> Iterator[None]:
        """Whatever is planned in this block shows admins what they may read beside their own."""
        self._as_admin = self.signed_in  # `anon` may not ask who is an admin
        yield
        self._as_admin = False

    def may_name(self, named: GraphQLNamedType) -> bool:
        """Whether the asking role may name the table: `anon` only what is public."""
        return self.signed_in or is_public(table_behind(named).table)

    def object(
        self,
        graph_type: GraphQLObjectType,
        nodes: Sequence[FieldNode],
        source: FromClause,
        path: Path,
    ) -> Json:
        """The JSON object of one row of `source`."""
        pairs = []
        for key, found in self.collect(graph_type, nodes).items():
            name = found[0].name.value
            if name == "__typename":
                pairs.append((key, text_literal(graph_type.name)))
            else:
                value = partial(self._value, graph_type, name, found, source, (*path, key))
                pairs.append((key, self.field(graph_type.fields[name], (*path, key), value)))
        return build_object(pairs)

    def field(self, definition: GraphQLField, path: Path, value: Callable[[], Json]) -> Json:
        """The value of one field, which answers for what is wrong in it; null when known to be."""
        yield_point()
        self.nullable[path] = is_nullable_type(definition.type)
        if path in self._faults:
            return literal_column("null::json")
        outer, self.parameters.field = self.parameters.field, path
        try:
            with blamed_on(path):
                return value()
        except FieldFault as fault:
            if self._collected is None:
                raise
            self._collected.setdefault(fault.field, kept(fault))
            return literal_column("null::json")
        finally:
            self.parameters.field = outer

    def _value(
        self,
        graph_type: GraphQLObjectType,
        name: str,
        nodes: Sequence[FieldNode],
        source: FromClause,
        path: Path,
    ) -> Json:
        definition = graph_type.fields[name]
        named = get_named_type(definition.type)
        match spec_of(definition):
            case specs.Column(column_name):
                return self._column(graph_type, definition, column_name, source)
            case specs.GlobalId():
                return global_id(source.name, table_behind(graph_type))  # type: ignore[attr-defined]
            case specs.Reference(column_name, prefix):
                return key_behind(source.name, column_name, prefix)  # type: ignore[attr-defined]
            case specs.Expression(build):
                return formatted(build(source), named)
            case specs.SessionExpression(build_of):
                return formatted(build_of(source, self.parameters.session()), named)
            case specs.Embedded(present):
                made = self.object(as_object(named), nodes, source, path)
                return made if present is None else case((present(source), made), else_=null())
            case specs.RelatedRow(local, remote):
                by_key = self.rereads and remote == table_behind(named).key
                target = (
                    self.reread_source(named, source.c[local]) if by_key else self.source(named)
                )
                condition = target.c[remote] == source.c[local]
                return self.row(named, nodes, path, target, condition, parent=source)
            case specs.RelatedRows(remote_key, order, _, local):
                parent = (source, source.c[local or table_behind(graph_type).key])
                return self.rows(named, nodes, path, order, parent, remote_key)
            case specs.Page() as page:
                key = source.c[table_behind(graph_type).key]
                return self._page(self, page, definition, nodes, source, key, path)
            case specs.Report() as made_by:
                from graph.engine.planning.reports import report

                key = source.c[table_behind(graph_type).key]
                return report(self, made_by, definition, nodes, path, key)
            case specs.Computed(columns, function, present):
                render, arguments = self._render(definition, nodes), tuple(definition.args)
                self.finishers.append(Finisher(path, columns, arguments, function, render))
                given = self._choices(definition, nodes[0])
                made = func.json_build_array(*(source.c[column] for column in columns), *given)
                return made if present is None else case((present(source), made), else_=null())
            case spec:
                raise TypeError(f"{graph_type.name}.{name} is declared as {spec!r}")

    def _column(
        self,
        graph_type: GraphQLObjectType,
        definition: GraphQLField,
        column_name: str | None,
        source: FromClause,
    ) -> Json:
        column = column_name or python_name(definition)
        backing = backing_of(graph_type)
        if backing is not None and column in backing.model.large:
            return measured(source.c[column], self.answer_bytes)
        named = get_named_type(definition.type)
        return leaf(source.name, column, named.name)  # type: ignore[attr-defined]

    def _choices(self, definition: GraphQLField, node: FieldNode) -> Iterator[ColumnElement[Any]]:
        """The arguments of a computed field, each the name of an enum's value or null."""
        read = self.read_arguments(definition, node)
        for argument in definition.args:
            chosen = partial(_name_of_choice, read, argument)
            yield cast(self.parameters.add(chosen, TEXT), TEXT)

    def row(
        self,
        named: GraphQLNamedType,
        nodes: Sequence[FieldNode],
        path: Path,
        source: FromClause,
        *conditions: ColumnElement[bool],
        parent: FromClause | None = None,
    ) -> Json:
        """The one readable row of `source` that meets the conditions, or null."""
        yield_point()
        if not self.may_name(named):
            return literal_column("null::json")
        made = self.object(as_object(named), nodes, source, path)
        query: Select[Any] = select(made).select_from(source)
        query = query.where(*conditions, self.ownership_condition(named, source))
        return (query if parent is None else query.correlate(parent)).scalar_subquery()

    def rows(
        self,
        named: GraphQLNamedType,
        nodes: Sequence[FieldNode],
        path: Path,
        order: tuple[str, ...],
        parent: tuple[FromClause, ColumnElement[Any]] | None = None,
        key: str = "",
        *,
        only: Callable[[FromClause], ColumnElement[bool]] | None = None,
    ) -> Json:
        """Every readable row of a bounded table, in order; below a `parent`, those of its `key`."""
        source = self.source(named)
        made = self.object(as_object(named), nodes, source, (*path, None))
        query = (
            select(made.label("item"))
            .select_from(source)
            .where(self.ownership_condition(named, source))
        )
        if only is not None:
            query = query.where(only(source))
        if parent is not None:
            query = query.where(source.c[key] == parent[1]).correlate(parent[0])
        items = query.order_by(*sorted_by(source, order)).subquery(self.next_name())
        return select(list_of_column(items.name, "item")).select_from(items).scalar_subquery()
