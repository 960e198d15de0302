"""Access declarations as SQL: row-level security policies, grants, event triggers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Table

from db.core.access import (
    WRITES,
    Access,
    Admin,
    AllOf,
    AnyOf,
    Audience,
    Group,
    LikeOwn,
    Member,
    Nobody,
    Owner,
    Public,
    Rule,
    Shared,
    SqlCommand,
    Through,
    Watch,
    audiences,
    parent_of,
    parts,
    path_of,
    private_part,
    public_part,
)
from db.core.compiling import sql_type
from db.core.own_values import own_values_name
from db.core.sealed import sealed_columns

# The role is read from the database, not from the token: who is no admin any more sees nothing.
IS_ADMIN = (
    "exists (select from users admins"
    " where admins.id = (select app.user_id()) and admins.role = 'admin')"
)
# The same where the cheap half of a condition comes first, and for the table of users, whose own
# policy could not ask it: it would be asked again for the answer.
CALLER_IS_ADMIN = "(select app.is_admin())"


def condition(
    table: Table, rule: Rule, command: SqlCommand, row: str = "", depth: int = 0, schema: str = ""
) -> str:
    """What a rule demands of a row, as the text of a policy.

    `row` qualifies the columns and `schema` other tables, each with its dot. What depends on the
    caller alone stands in a select of its own, so that it is evaluated once a statement.
    """
    texts = []
    for part in parts(rule):
        match part:
            case Owner(column):
                texts.append(f"{row}{column} = (select app.user_id())")
            case Member(column, roles, group):
                texts.append(f"{row}{column} = any ({_group_ids(group, roles)})")
            case Shared(column, group):
                texts.append(f"{row}{column} = any ({_group_ids(group, ())})")
            case Public(only_if):
                texts.append(f"{row}{only_if}" if only_if else "true")
            case Admin():
                texts.append(CALLER_IS_ADMIN)
            case Through():
                texts.append(_parent_condition(table, part, command, row, depth, schema))
            case LikeOwn(column, _):
                own = f"app.{own_values_name(table, part)}()"
                texts.append(f"{row}{column} = any ((select {own})::{_array_type(table, column)})")
            case AllOf(rules):
                each = (condition(table, one, command, row, depth, schema) for one in rules)
                texts.append(f"({' and '.join(each)})")
            case Nobody() | AnyOf():
                raise TypeError(f"{part} lets nobody in, so there is no policy of it")
    return " or ".join(texts)


def _array_type(table: Table, column: str) -> str:
    return f"{sql_type(table.c[column].type).lower()}[]"


def _group_ids(group: str, roles: tuple[str, ...]) -> str:
    return f"(select app.{group}_ids('{{{','.join(roles)}}}'))::uuid[]"


def _parent_condition(
    table: Table, part: Through, command: SqlCommand, row: str, depth: int, schema: str
) -> str:
    parent, name = parent_of(table, part, command), f"parent_{depth + 1}"
    met = condition(parent.table, parent.rule, command, f"{name}.", depth + 1, schema)
    leads_to = f"{name}.{parent.key} = {row or f'{table.name}.'}{part.column}"
    return f"exists (select from {schema}{parent.table.name} {name} where {leads_to} and ({met}))"


def _named_after(rule: Rule) -> str:
    """A policy is named after the rule that it puts first."""
    first = parts(rule)[0]
    return type(first.rules[0] if isinstance(first, AllOf) else first).__name__.lower()


def _client_policies(table: Table, access: Access) -> Iterator[tuple[str, str]]:
    on = f"on {table.name} for"
    everybody, signed_in = public_part(table, access.read), private_part(table, access.read)
    if everybody != Nobody():
        public = condition(table, everybody, "SELECT")
        yield "public_select", f"{on} select to anon, authenticated using ({public})"
    if signed_in != Nobody():
        is_alone = signed_in == Admin() and everybody == Nobody()
        own = IS_ADMIN if is_alone else condition(table, signed_in, "SELECT")
        yield f"{_named_after(signed_in)}_select", f"{on} select to authenticated using ({own})"
    for command in WRITES:
        if access.offers(command):
            rule = access.rule(command)
            met = condition(table, rule, command)
            checks = {
                "INSERT": f"with check ({met})",
                "UPDATE": f"using ({met}) with check ({met})",
                "DELETE": f"using ({met})",
            }[command]
            lower = command.lower()
            yield f"{_named_after(rule)}_{lower}", f"{on} {lower} to authenticated {checks}"


def policies(table: Table, access: Access) -> dict[str, str]:
    """The policies of a table by name, each the text that follows `create policy <name>`."""
    found = dict(_client_policies(table, access))
    if access.service:
        found["service_all"] = f"on {table.name} for all to service using (true) with check (true)"
    return found


def grants(table: Table, access: Access) -> list[str]:
    """The grants of a table: columns are always listed for clients' roles."""
    statements: list[str] = []
    readable = ", ".join(c.name for c in table.columns if c.name not in access.hidden)
    if not access.is_internal:
        is_public = public_part(table, access.read) != Nobody()
        readers = "anon, authenticated" if is_public else "authenticated"
        statements.append(f"grant select ({readable}) on {table.name} to {readers}")
    for privilege, columns in (("insert", access.insert), ("update", access.update)):
        if columns:
            statements.append(
                f"grant {privilege} ({', '.join(columns)}) on {table.name} to authenticated"
            )
    if access.delete:
        statements.append(f"grant delete on {table.name} to authenticated")
    if access.service:
        statements.append(f"grant {', '.join(access.service).lower()} on {table.name} to service")
    return statements


def access_statements(table: Table, access: Access) -> list[str]:
    """All the SQL that puts a new table's access policies in place, in order."""
    created = [f"create policy {name} {rest}" for name, rest in policies(table, access).items()]
    enable = f"alter table {table.name} enable row level security"
    return [enable, *created, *grants(table, access)]


def watch_statements(table: Table, watch: Watch, access: Access) -> list[str]:
    """The triggers that record an event for every watched change, whoever makes it."""
    function, told = _recorder(table, audiences(table, access.read))
    sealed = sealed_columns(table)
    # That a row is sealed anew by another key is no change of it.
    hidden = tuple(dict.fromkeys((*access.hidden, *sealed)))
    deferred = tuple(name for name in watch.deferred if name not in sealed)
    arguments = (watch.topic, watch.entity, _array(hidden), _array(deferred), *told)
    listed = ", ".join(f"'{argument}'" for argument in arguments)
    in_bulk = watch.in_bulk and watch.inserts
    changes = " or ".join(name for name in watch.changes if not (in_bulk and name == "insert"))
    if sealed:
        # Nor is the trigger called for it: a rotation writes these columns alone, of every row.
        shown = (column.name for column in table.columns if column.name not in hidden)
        changes = changes.replace("update", f"update of {', '.join(shown)}")
    made = [_bulk_statement(table, function, listed)] if in_bulk else []
    if changes:
        made.append(
            f"create trigger record_event after {changes} on {table.name} "
            f"for each row execute function app.{function}({listed})"
        )
    return made


def _bulk_statement(table: Table, function: str, listed: str) -> str:
    """The trigger that records the events of all rows that a statement inserts."""
    if function != "record_event":
        raise TypeError(f"{table.name}: only events of one audience are recorded in bulk")
    return (
        f"create trigger record_inserted after insert on {table.name} referencing new table"
        f" as new_rows for each statement execute function app.record_inserted({listed})"
    )


def joint_statements(table: Table, topic: str, access: Access) -> list[str]:
    """The trigger that records an event of a topic that several tables share, for everybody."""
    if [audience.kind for audience in audiences(table, access.read)] != ["everybody"]:
        raise TypeError(f"{table.name}: only what everybody reads is told under a shared topic")
    (key,) = table.primary_key.columns
    return [
        f"create trigger record_joint_event after insert or update or delete on {table.name} for "
        f"each row execute function app.record_joint_event('{topic}', '{key.name}', "
        f"'{_array(access.hidden)}')"
    ]


def _recorder(table: Table, found: tuple[Audience, ...]) -> tuple[str, list[str]]:
    """The function that records events for these audiences, and how it is told of them."""
    match found:
        case (Audience("user" | "everybody", column, through=()),):
            return "record_event", [column]
    told: list[str] = []
    for one in found:
        told += (one.kind, one.column, _array(one.roles), _array(path_of(table, one)))
    return "record_shared_event", told


def membership_statements(table: Table, group: Group) -> list[str]:
    """The trigger that records who joined or left a group, for the streams of its members."""
    columns = [group.key, *group.users, *([group.role] if group.role else []), *group.counts]
    return [
        f"create trigger record_membership after insert or delete or update of "
        f"{', '.join(dict.fromkeys(columns))} on {table.name} "
        f"for each row execute function app.record_membership('{group.kind}', '{group.key}')"
    ]


def _array(values: Sequence[str]) -> str:
    return f"{{{','.join(values)}}}"
