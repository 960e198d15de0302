"""What provokes each error of workflows, for the tests of all errors."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ..workflows import DEFINITION, found_organization

NO_WORKFLOW = f"workflow_{UUID(int=1)}"


def graphql(value: Any) -> str:
    """A JSON value as it is written in a document."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {graphql(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(graphql, value))}]"
    return f'"{value}"'


def new(organization: object, name: str = "Reminder") -> str:
    """The input of a new workflow."""
    return (
        f'{{organizationId: "organization_{organization}", name: "{name}", idempotencyKey: "w",'
        f" definition: {graphql(DEFINITION)}}}"
    )


async def made(stage: Any, status: str = "DRAFT", versions: int = 1) -> str:
    """A workflow of the user's organization, in a state."""
    organization = await found_organization(stage.owner, stage.actor)
    wanted = await stage.owner.fetchval(
        "insert into workflows (organization_id, name) values ($1, 'Reminder') returning id",
        organization,
    )
    await stage.owner.execute(
        "insert into workflow_versions"
        " (workflow_id, organization_id, number, hash, definition, is_current)"
        " select $1, $2, n, lpad(n::text, 64, '0'), '{}', n = 1 from generate_series(1, $3) n",
        wanted, organization, versions,
    )  # fmt: skip
    if status != "DRAFT":
        await stage.owner.execute(
            "update workflows set status = $2, published_at = now() where id = $1", wanted, status
        )
    return f"workflow_{wanted}"


def stands(status: str) -> Any:
    """The input that names a workflow in a state."""

    async def given(stage: Any) -> str:
        return f'{{id: "{await made(stage, status)}"}}'

    return given


async def full(stage: Any) -> str:
    """A workflow of an organization that has as many as there may be."""
    organization = await found_organization(stage.owner, stage.actor)
    await stage.owner.execute(
        "insert into workflows (organization_id, name)"
        " select $1, n::text from generate_series(1, 1000) n",
        organization,
    )
    return new(organization)


async def beyond_the_plan(stage: Any) -> str:
    """One more workflow than the free plan allows."""
    organization = await found_organization(stage.owner, stage.actor, "free")
    assert await stage.codes("createWorkflow", new(organization)) == []
    return new(organization).replace('"w"', '"x"')


async def of_what_goes(stage: Any) -> str:
    """A workflow for an organization that is to be deleted."""
    organization = await found_organization(stage.owner, stage.actor)
    await stage.owner.execute(
        "update organizations set deletes_at = now() + interval '1 day' where id = $1", organization
    )
    return new(organization)


async def restored_beyond_the_plan(stage: Any) -> str:
    """A workflow to restore when another has its place."""
    organization = await found_organization(stage.owner, stage.actor, "free")
    assert await stage.codes("createWorkflow", new(organization)) == []
    wanted = await stage.owner.fetchval(
        "select id from workflows where organization_id = $1", organization
    )
    archive = f'{{id: "workflow_{wanted}"}}'
    assert await stage.codes("archiveWorkflow", archive) == []
    assert await stage.codes("createWorkflow", new(organization).replace('"w"', '"x"')) == []
    return archive


async def repeated(stage: Any) -> str:
    """The key of another workflow."""
    organization = await found_organization(stage.owner, stage.actor)
    assert await stage.codes("createWorkflow", new(organization)) == []
    return new(organization, "Another")


async def many_versions(stage: Any) -> str:
    """A definition for a workflow that has as many as there may be."""
    wanted = await made(stage, versions=100)
    return f'{{id: "{wanted}", definition: {graphql(DEFINITION)}}}'


async def archived(stage: Any) -> str:
    """A name for a workflow that is put away."""
    return f'{{id: "{await made(stage, "ARCHIVED")}", name: "Another"}}'


def steps(wrong: str) -> dict[str, Any]:
    """The errors of a step that is wrong in a state."""
    return {"NOT_FOUND": f'{{id: "{NO_WORKFLOW}"}}', "INVALID_STATE": stands(wrong)}


PROVOKED: dict[str, dict[str, Any]] = {
    "createWorkflow": {
        "BAD_USER_INPUT": new(UUID(int=1), ""),
        "NOT_FOUND": new(UUID(int=1)),
        "INVALID_STATE": of_what_goes,
        "LIMIT_EXCEEDED": full,
        "IDEMPOTENCY_CONFLICT": repeated,
        "PLAN_LIMIT_REACHED": beyond_the_plan,
    },
    "updateWorkflow": {
        "BAD_USER_INPUT": f'{{id: "{NO_WORKFLOW}"}}',
        "NOT_FOUND": f'{{id: "{NO_WORKFLOW}", name: "Another"}}',
        "LIMIT_EXCEEDED": many_versions,
        "INVALID_STATE": archived,
    },
    "publishWorkflow": steps("ACTIVE"),
    "archiveWorkflow": steps("ARCHIVED"),
    "restoreWorkflow": steps("ACTIVE") | {"PLAN_LIMIT_REACHED": restored_beyond_the_plan},
}
