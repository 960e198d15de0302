"""Who may touch which rows, declared beside a table's columns: rules that compose.

One declaration yields the policies and grants (`db/core/rls.py`), the predicate of every statement
(`db/core/predicates.py`) and the audience of the table's events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from sqlalchemy import MetaData, Table

SqlCommand = Literal["SELECT", "INSERT", "UPDATE", "DELETE"]
WRITES: tuple[SqlCommand, ...] = ("INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True)
class Owner:
    """The user named in `column`; nobody else sees that the row exists."""

    column: str = "user_id"


@dataclass(frozen=True)
class Member:
    """The members of the group named in `column`, with one of the `roles` (any, when empty).

    `group` is the kind of a `Group` that a table of memberships declares.
    """

    column: str = "organization_id"
    roles: tuple[str, ...] = ()
    group: str = "organization"


@dataclass(frozen=True)
class Shared:
    """The parties of the group named in `column`, all with the same right."""

    column: str
    group: str


@dataclass(frozen=True)
class Through:
    """Who may do it to the row that the foreign key `column` leads to.

    Reading takes what reading the parent takes, writing what updating it takes; `rule` asks for
    something else of the parent.
    """

    column: str
    rule: Rule | None = None


@dataclass(frozen=True)
class Public:
    """Everybody, where the boolean column `only_if` is true (all rows, when empty)."""

    only_if: str = ""


@dataclass(frozen=True)
class Admin:
    """Admins. The role is read from the database, so who is none any more sees nothing."""


@dataclass(frozen=True)
class Nobody:
    """No client: only the server itself (`service`) touches the rows."""


@dataclass(frozen=True, init=False)
class AnyOf:
    """Whoever one of the `rules` lets; the cheapest is best named first."""

    rules: tuple[Rule, ...]

    def __init__(self, *rules: Rule) -> None:
        if not rules:
            raise ValueError("AnyOf: no rule lets anybody in")
        object.__setattr__(self, "rules", rules)


@dataclass(frozen=True)
class LikeOwn:
    """Whoever has a row of the same table, theirs by `owner`, with the same value of `column`."""

    column: str
    owner: str = "user_id"


@dataclass(frozen=True, init=False)
class AllOf:
    """Whoever all of the `rules` let; the first alone says who is told of events."""

    rules: tuple[Rule, ...]

    def __init__(self, *rules: Rule) -> None:
        if not all(isinstance(one, Owner | Member | Shared | LikeOwn) for one in rules):
            raise ValueError("AllOf: of owners, members, parties and who has such a row only")
        if not rules or isinstance(rules[0], LikeOwn):
            raise ValueError("AllOf: the first rule names whom")
        object.__setattr__(self, "rules", rules)


Rule = Owner | Member | Shared | Through | Public | Admin | Nobody | LikeOwn | AnyOf | AllOf


def parts(rule: Rule) -> tuple[Rule, ...]:
    """The rules of which one suffices."""
    if isinstance(rule, AnyOf):
        return tuple(part for each in rule.rules for part in parts(each))
    return (rule,)


def _named(rule: Rule) -> Iterator[Rule]:
    """The parts of a rule, and of what it names for the rows that it leads to."""
    for part in parts(rule):
        yield part
        if isinstance(part, Through) and part.rule:
            yield from _named(part.rule)
        if isinstance(part, AllOf):
            yield from part.rules


@dataclass(frozen=True)
class PerCommand:
    """A rule for each kind of write; nobody, where none is given."""

    insert: Rule = field(default_factory=Nobody)
    update: Rule = field(default_factory=Nobody)
    delete: Rule = field(default_factory=Nobody)


@dataclass(frozen=True)
class Audience:
    """Who may have the events of a row: the group of `kind` that `column` names.

    Of the kind `user` it is one user; of `everybody` it is anyone, for rows where the boolean
    `column` is or was true (all, when empty). Of a group it is the members with one of the `roles`
    (any, when empty). `through` names the foreign keys that lead to the table with the column,
    outermost first.
    """

    kind: str
    column: str = ""
    through: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Users who have rows in common, declared by the table of their memberships.

    `key` is its column with the group's id, `users` are those that name a member: one for a table
    with a row for each member, two where a row is the group of two. `role` is the column with what
    a member is; all are equal where there is none. A membership counts when each column of `counts`
    has one of its values.
    """

    kind: str
    key: str
    users: tuple[str, ...] = ("user_id",)
    role: str = ""
    counts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Watch:
    """Changes of a table's rows that clients may watch: each writes an event under `topic`.

    `entity` is the column whose value names the row in the event; `inserts`, `updates` and
    `deletes` say which changes count. Who may see an event follows from the table's rule for
    reading. What is in the `deferred` columns is too large to be copied into events: it is read
    from the row when an event is delivered to somebody who asks for it. Where statements insert
    many rows, `in_bulk` has each write its events at once.
    """

    topic: str
    entity: str = "id"
    inserts: bool = True
    updates: bool = True
    deletes: bool = False
    deferred: tuple[str, ...] = ()
    in_bulk: bool = False

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes that count, in SQL's words."""
        counted = (("insert", self.inserts), ("update", self.updates), ("delete", self.deletes))
        return tuple(name for name, counts in counted if counts)


@dataclass(frozen=True)
class Access:
    """Who reads the rows of a table, and who writes what in them.

    `read` is the rule for reading, `write` the one for all writes or one for each command. `insert`
    and `update` list the columns that clients may write, `delete` says whether they may delete.
    `hidden` columns are never readable by a client's role; `service` lists what the server may do.
    """

    read: Rule
    write: Rule | PerCommand = field(default_factory=Nobody)
    hidden: tuple[str, ...] = ()
    insert: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    delete: bool = False
    service: tuple[SqlCommand, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")

    def __post_init__(self) -> None:
        for command in WRITES:
            rule = self.rule(command)
            if self.offers(command) and rule == Nobody():
                raise ValueError(f"{command}: no rule says who may")
            if isinstance(self.write, PerCommand) and rule != Nobody() and not self.offers(command):
                raise ValueError(f"{command}: there is a rule and nothing that may be written")
            if any(isinstance(one, Public | Admin | LikeOwn) for one in _named(rule)):
                raise ValueError(f"{command}: clients write as owners, members or parties only")

    def rule(self, command: SqlCommand) -> Rule:
        """The rule for a command."""
        if command == "SELECT":
            return self.read
        if isinstance(self.write, PerCommand):
            return {
                "INSERT": self.write.insert,
                "UPDATE": self.write.update,
                "DELETE": self.write.delete,
            }[command]
        return self.write

    def offers(self, command: SqlCommand) -> bool:
        """Whether a client's role may run the command at all."""
        if command == "SELECT":
            return self.read != Nobody()
        return bool({"INSERT": self.insert, "UPDATE": self.update, "DELETE": self.delete}[command])

    def find[Kind: Rule](self, kind: type[Kind]) -> Kind | None:
        """The first part of the rule for reading that is of a kind."""
        return next((part for part in parts(self.read) if isinstance(part, kind)), None)

    @property
    def is_internal(self) -> bool:
        """Whether no client reads it."""
        return self.read == Nobody()


def access_of(table: Table) -> Access:
    """What a table's class declares."""
    found = table.info.get("access")
    if not isinstance(found, Access):
        raise TypeError(f"{table.name} has no access declared")
    return found


def declare_group(table: Table, group: Group) -> None:
    """Notes that a table holds the memberships of a kind of groups."""
    declared = groups(table.metadata)
    if group.kind in declared:
        raise ValueError(f"{group.kind} is declared by {declared[group.kind][0].name} already")
    declared[group.kind] = (table, group)


def groups(metadata: MetaData) -> dict[str, tuple[Table, Group]]:
    """The kinds of groups there are, each with the table of its memberships."""
    found: dict[str, tuple[Table, Group]] = metadata.info.setdefault("groups", {})
    return found


@dataclass(frozen=True)
class Parent:
    """The row that a `Through` leads to, and the rule that it must meet."""

    table: Table
    key: str
    rule: Rule


def parent_of(table: Table, through: Through, command: SqlCommand) -> Parent:
    """Where a rule leads from a table, for a command on that table."""
    (foreign_key,) = table.c[through.column].foreign_keys
    parent = foreign_key.column.table
    asked: SqlCommand = "SELECT" if command == "SELECT" else "UPDATE"
    rule = through.rule or access_of(parent).rule(asked)
    if rule == Nobody():
        raise TypeError(f"{table.name}: clients may not {asked} {parent.name}; name a rule instead")
    return Parent(parent, foreign_key.column.name, rule)


def public_part(table: Table, rule: Rule) -> Rule:
    """What of a rule for reading lets everybody in; `Nobody()` where nothing does."""
    found: list[Rule] = []
    for part in parts(rule):
        if isinstance(part, Public):
            found.append(part)
        elif isinstance(part, Through):
            parent = parent_of(table, part, "SELECT")
            if (behind := public_part(parent.table, parent.rule)) != Nobody():
                found.append(Through(part.column, behind))
    return _any_of(found)


def private_part(table: Table, rule: Rule) -> Rule:
    """What of a rule for reading is for those who are signed in."""
    found: list[Rule] = []
    for part in parts(rule):
        if isinstance(part, Through):
            parent = parent_of(table, part, "SELECT")
            if (behind := private_part(parent.table, parent.rule)) != Nobody():
                whole = public_part(table, part) == Nobody()
                found.append(part if whole else Through(part.column, behind))
        elif not isinstance(part, Public | Nobody):
            found.append(part)
    return _any_of(found)


def _any_of(rules: list[Rule]) -> Rule:
    if not rules:
        return Nobody()
    return rules[0] if len(rules) == 1 else AnyOf(*rules)


def is_public(table: Table) -> bool:
    """Whether who is not signed in may read some of a table's rows."""
    return public_part(table, access_of(table).read) != Nobody()


def owner_columns(access: Access) -> set[str]:
    """The columns that say whose a row is."""
    named = Owner | Member | Shared | Through
    return {part.column for part in parts(access.read) if isinstance(part, named)}


def audiences(table: Table, rule: Rule | None = None) -> tuple[Audience, ...]:
    """Who may have the events of a table's rows; admins are no audience of their own."""
    found = tuple(dict.fromkeys(_audiences(table, rule or access_of(table).read)))
    # Rows that are hidden from everybody have no secret to keep from anybody.
    return found if {one.kind for one in found} != {"everybody"} else (Audience("everybody"),)


def _audiences(table: Table, rule: Rule) -> Iterator[Audience]:
    for part in parts(rule):
        match part:
            case Owner(column):
                yield Audience("user", column)
            case Member(column, roles, group):
                yield Audience(group, column, roles=roles)
            case Shared(column, group):
                yield Audience(group, column)
            case Public(only_if):
                yield Audience("everybody", only_if)
            case Through(column, _):
                parent = parent_of(table, part, "SELECT")
                for found in _audiences(parent.table, parent.rule):
                    yield replace(found, through=(column, *found.through))
            case AllOf(rules):
                yield from _audiences(table, rules[0])
            case Admin() | Nobody() | LikeOwn() | AnyOf():
                continue


def path_of(table: Table, audience: Audience) -> tuple[str, ...]:
    """How a row leads to an audience's column: a foreign key, its table and key, and so on."""
    steps: list[str] = []
    for column in audience.through:
        (foreign_key,) = table.c[column].foreign_keys
        table = foreign_key.column.table
        steps += (column, table.name, foreign_key.column.name)
    return tuple(steps)
