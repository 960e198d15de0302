"""Alembic operations for what tables declare beside columns: policies, grants, triggers, functions.

Their texts stand in the migration, so that it never changes when the code does.
"""

from __future__ import annotations

from typing import ClassVar

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations


class StatementOperation(MigrateOperation):
    """A statement. `undo` names the operation that undoes it, which takes the same arguments.

    One that is `implied` runs with another operation, as a table's policies go with the table; what
    undoes one that `vanishes` is implied in the same way.
    """

    operation: ClassVar[str]
    undo: ClassVar[str]
    sql: ClassVar[str]
    # How many arguments the statement itself needs; more are there for undoing it.
    needs: ClassVar[int] = 3

    def __init__(self, *arguments: str, implied: bool = False, vanishes: bool = False) -> None:
        self.arguments = arguments
        self.implied = implied
        self.vanishes = vanishes

    def __init_subclass__(cls) -> None:
        """Makes it an operation of Alembic's."""
        OPERATIONS[cls.operation] = cls
        Operations.register_operation(cls.operation, "run")(cls)

    def reverse(self) -> StatementOperation:
        """What undoes it."""
        kind = OPERATIONS[self.undo]
        return kind(*self.arguments, implied=self.vanishes, vanishes=self.implied)

    def to_diff_tuple(self) -> tuple[str, ...]:
        """As `alembic check` shows it."""
        return (self.operation, *self.arguments)


OPERATIONS: dict[str, type[StatementOperation]] = {}


class CreatePolicy(StatementOperation):
    """`text` is what follows the table: for select to … using (…)."""

    operation, undo, sql = "create_policy", "drop_policy", "create policy {0} on {1} {2}"

    @classmethod
    def run(cls, operations: Operations, name: str, table: str, text: str) -> None:
        """Lets roles at rows of a table."""
        operations.invoke(cls(name, table, text))


class DropPolicy(StatementOperation):
    """The opposite."""

    operation, undo, sql, needs = "drop_policy", "create_policy", "drop policy {0} on {1}", 2

    @classmethod
    def run(cls, operations: Operations, name: str, table: str) -> None:
        """Removes a policy."""
        operations.invoke(cls(name, table))


class Grant(StatementOperation):
    """`privileges` may list columns: select (id, name)."""

    operation, undo, sql = "grant", "revoke", "grant {0} on {1} to {2}"

    @classmethod
    def run(cls, operations: Operations, privileges: str, table: str, roles: str) -> None:
        """Lets roles at a table or its columns."""
        operations.invoke(cls(privileges, table, roles))


class Revoke(StatementOperation):
    """The opposite."""

    operation, undo, sql = "revoke", "grant", "revoke {0} on {1} from {2}"

    @classmethod
    def run(cls, operations: Operations, privileges: str, table: str, roles: str) -> None:
        """Takes privileges away."""
        operations.invoke(cls(privileges, table, roles))


class CreateTrigger(StatementOperation):
    """`change` is what stands before the table (after insert), `action` what follows it."""

    operation, undo, sql = "create_trigger", "drop_trigger", "create trigger {0} {2} on {1} {3}"
    needs = 4

    @classmethod
    def run(cls, operations: Operations, name: str, table: str, change: str, action: str) -> None:
        """Has a table's changes call a function."""
        operations.invoke(cls(name, table, change, action))


class DropTrigger(StatementOperation):
    """The opposite."""

    operation, undo, sql, needs = "drop_trigger", "create_trigger", "drop trigger {0} on {1}", 2

    @classmethod
    def run(cls, operations: Operations, name: str, table: str) -> None:
        """Removes a trigger."""
        operations.invoke(cls(name, table))


class EnableRowLevelSecurity(StatementOperation):
    """Closes a table to everybody but its owner, up to its policies."""

    operation, undo, needs = "enable_row_level_security", "disable_row_level_security", 1
    sql = "alter table {0} enable row level security"

    @classmethod
    def run(cls, operations: Operations, table: str) -> None:
        """Has a table's policies hold."""
        operations.invoke(cls(table))


class DisableRowLevelSecurity(StatementOperation):
    """The opposite."""

    operation, undo, needs = "disable_row_level_security", "enable_row_level_security", 1
    sql = "alter table {0} disable row level security"

    @classmethod
    def run(cls, operations: Operations, table: str) -> None:
        """Has a table's policies mean nothing."""
        operations.invoke(cls(table))


class AddCheck(StatementOperation):
    """`condition` with its parentheses; Alembic compares no conditions."""

    operation, undo = "add_check", "drop_check"
    sql = "alter table {1} add constraint {0} check {2}"

    @classmethod
    def run(cls, operations: Operations, name: str, table: str, condition: str) -> None:
        """Has every row of a table meet a condition."""
        operations.invoke(cls(name, table, condition))


class DropCheck(StatementOperation):
    """The opposite."""

    operation, undo, needs = "drop_check", "add_check", 2
    sql = "alter table {1} drop constraint {0}"

    @classmethod
    def run(cls, operations: Operations, name: str, table: str) -> None:
        """Removes a condition."""
        operations.invoke(cls(name, table))


class CreateFunction(StatementOperation):
    """A function that a new policy or trigger calls; `tallygraph migrate` keeps it up to date."""

    operation, undo, sql, needs = "create_function", "drop_function", "{1}", 2

    @classmethod
    def run(cls, operations: Operations, signature: str, text: str) -> None:
        """Makes a function as it is when the migration is written."""
        operations.invoke(cls(signature, text))


class DropFunction(StatementOperation):
    """The opposite."""

    operation, undo, sql, needs = (
        "drop_function",
        "create_function",
        "drop function if exists {0}",
        1,
    )

    @classmethod
    def run(cls, operations: Operations, signature: str) -> None:
        """Drops a function."""
        operations.invoke(cls(signature))


@Operations.implementation_for(StatementOperation)
def _run(operations: Operations, statement: StatementOperation) -> None:
    operations.get_bind().exec_driver_sql(statement.sql.format(*statement.arguments))


@renderers.dispatch_for(StatementOperation)
def _render(_: AutogenContext, statement: StatementOperation) -> list[str]:
    if statement.implied:
        return []
    arguments = ", ".join(repr(argument) for argument in statement.arguments[: statement.needs])
    return [f"op.{statement.operation}({arguments})"]
