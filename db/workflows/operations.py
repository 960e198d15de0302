"""Commands on workflows."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select

from db.accounts.tables import User
from db.core.actor import Actor
from db.core.commands import FunctionCall, PythonCommand, SqlFunction
from db.core.errors import Problems, bad_input, sign_in_first
from db.core.pool import Transaction
from db.credits.rules import problems_of_key
from db.workflows.rules import (
    DefinitionFault,
    faults_of,
    hash_of,
    problems_of_definition,
    problems_of_name,
    problems_of_variables,
)

_CREATE = SqlFunction[UUID](
    "app.create_workflow",
    "uuid",
    wanted_organization="uuid",
    wanted_name="text",
    definition="jsonb",
    hash="text",
    variables="jsonb",
    idempotency_key="text",
).noting_place()
_UPDATE = SqlFunction[UUID](
    "app.update_workflow",
    "uuid",
    wanted="uuid",
    wanted_name="text",
    definition="jsonb",
    hash="text",
    variables="jsonb",
).noting_place()
_MOVE = SqlFunction[UUID]("app.move_workflow", "uuid", wanted="uuid", step="text").noting_place()


def create_workflow(
    problems: Problems,
    organization_id: UUID,
    *,
    name: str,
    definition: Any,
    variables: Any,
    idempotency_key: str,
) -> FunctionCall[UUID]:
    """Makes a workflow of an organization; gives it.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_name(name))
    problems.add(problems_of_definition(definition))
    problems.add(problems_of_variables(variables))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _CREATE(
        wanted_organization=organization_id,
        wanted_name=name.strip(),
        definition=definition,
        hash=hash_of(definition),
        variables=variables,
        idempotency_key=idempotency_key,
    )


def update_workflow(
    problems: Problems, workflow_id: UUID, *, name: str | None, definition: Any, variables: Any
) -> FunctionCall[UUID]:
    """Changes what is given of a workflow, None for what stays; gives it."""
    if name is None and definition is None and variables is None:
        problems.add([bad_input("Give a name, a definition or templateVariables.", "input")])
    if name is not None:
        problems.add(problems_of_name(name))
    if definition is not None:
        problems.add(problems_of_definition(definition))
    if variables is not None:
        problems.add(problems_of_variables(variables))
    problems.refuse()
    return _UPDATE(
        wanted=workflow_id,
        wanted_name=None if name is None else name.strip(),
        definition=definition,
        hash=None if definition is None else hash_of(definition),
        variables=variables,
    )


def move_workflow(
    workflow_id: UUID, step: Literal["PUBLISH", "ARCHIVE", "RESTORE"]
) -> FunctionCall[UUID]:
    """Publishes, archives or restores a workflow; INVALID_STATE where it does not stand so."""
    return _MOVE(wanted=workflow_id, step=step)


def definition_faults(definition: Any) -> list[DefinitionFault]:
    """Everything that keeps a definition from being saved and run."""
    return faults_of(definition)


def look_at_definition(actor: Actor) -> PythonCommand[UUID]:
    """Refuses whoever is nobody any more; looking changes nothing."""

    async def run(transaction: Transaction) -> UUID:
        own = select(User.id).where(User.id == actor.user_id)
        found: UUID | None = await transaction.fetch_value(own)
        if found is None:
            raise sign_in_first()
        return found

    return PythonCommand(run)
