"""Workflows through the API: roles, versions by their hash, states, and what is wrong with a definition."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor

from ..conftest import MakeUser
from ..workflows import DEFINITION, found_organization, join
from .conftest import Ask

SHOWN = """workflow { id name status templateVariables publishedAt
  versions { nodes { number hash isCurrent definition } } } errors { code path message }"""
CALLS = {
    "create": f"""mutation($input: CreateWorkflowInput!) {{
      answer: createWorkflow(input: $input) {{ {SHOWN} }} }}""",
    "update": f"""mutation($input: UpdateWorkflowInput!) {{
      answer: updateWorkflow(input: $input) {{ {SHOWN} }} }}""",
    "validate": """mutation($input: ValidateWorkflowInput!) {
      answer: validateWorkflow(input: $input) {
        isValid definitionErrors { kind id field message } errors { code } } }""",
    "see": """query($o: ID!, $w: ID!) { answer: organization(id: $o) {
      workflows { nodes { id name } } } workflow(id: $w) { name organization { id } } }""",
} | {
    step: f"""mutation($input: {step.title()}WorkflowInput!) {{
      answer: {step}Workflow(input: $input) {{ {SHOWN} }} }}"""
    for step in ("publish", "archive", "restore")
}


@dataclass
class Studio:
    """Asks about workflows of one organization."""

    ask: Ask
    owner: asyncpg.Connection
    make_user: MakeUser
    actor: Actor
    organization: str

    async def __call__(self, call: str, actor: Actor | None = None, /, **given: Any) -> Any:
        """The answer of a call, or its top-level error's code."""
        answer = await self.ask(CALLS[call], {"input": given}, actor=actor or self.actor)
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        return answer["data"]["answer"]

    async def make(self, actor: Actor | None = None, **given: Any) -> Any:
        """A new workflow of the organization."""
        wanted = {
            "organizationId": self.organization,
            "name": "Reminder",
            "definition": DEFINITION,
            "idempotencyKey": str(uuid4()),
        }
        return await self("create", actor, **wanted | given)

    async def member(self, role: str) -> Actor:
        """A new member."""
        actor = await self.make_user()
        await join(self.owner, UUID(self.organization.partition("_")[2]), actor, role)
        return actor


@pytest.fixture
async def studio(ask: Ask, owner: asyncpg.Connection, make_user: MakeUser) -> Studio:
    """The workflows of a new organization, asked about by its owner."""
    actor = await make_user()
    organization = await found_organization(owner, actor)
    return Studio(ask, owner, make_user, actor, f"organization_{organization}")


def code(answer: Any) -> str | None:
    """The code of a refusal; None when it was done."""
    if isinstance(answer, str):
        return answer
    return answer["errors"][0]["code"] if answer["errors"] else None


def edited(**changes: Any) -> dict[str, Any]:
    """The definition with other words in its first node."""
    copy = deepcopy(DEFINITION)
    copy["nodes"][0]["data"] |= changes
    return copy


async def test_viewers_read_members_write_and_strangers_learn_nothing(studio: Studio) -> None:
    for role, refused in (("VIEWER", "FORBIDDEN"), ("MEMBER", None), ("ADMIN", None)):
        member = await studio.member(role)
        assert code(await studio.make(member)) == refused, role
    made = await studio.make()
    wanted = {"o": studio.organization, "w": made["workflow"]["id"]}
    viewer, stranger = await studio.member("VIEWER"), await studio.make_user()
    seen = (await studio.ask(CALLS["see"], wanted, actor=viewer))["data"]
    assert len(seen["answer"]["workflows"]["nodes"]) == 3
    assert seen["workflow"] == {"name": "Reminder", "organization": {"id": studio.organization}}
    assert (await studio.ask(CALLS["see"], wanted, actor=stranger))["data"] == {
        "answer": None,
        "workflow": None,
    }
    for step in ("publish", "archive", "restore"):
        assert code(await studio(step, viewer, id=wanted["w"])) == "FORBIDDEN", step
        assert code(await studio(step, stranger, id=wanted["w"])) == "NOT_FOUND", step
    assert code(await studio("update", viewer, id=wanted["w"], name="Mine")) == "FORBIDDEN"
    assert code(await studio("update", stranger, id=wanted["w"], name="Mine")) == "NOT_FOUND"
    assert code(await studio.make(stranger)) == "NOT_FOUND"


async def test_the_same_definition_is_the_same_version_and_one_is_current(studio: Studio) -> None:
    made = await studio.make(templateVariables={"company": "Acme"})
    wanted = made["workflow"]["id"]
    other = edited(prompt="Say goodbye.")
    again = dict(reversed(DEFINITION.items()))
    for definition, current, count in ((other, 2, 2), (again, 1, 2), (other, 2, 2)):
        answer = await studio("update", id=wanted, definition=definition)
        versions = answer["workflow"]["versions"]["nodes"]
        assert [v["number"] for v in versions if v["isCurrent"]] == [current]
        assert len(versions) == count
    renamed = (await studio("update", id=wanted, name="Another"))["workflow"]
    assert (renamed["name"], len(renamed["versions"]["nodes"])) == ("Another", 2)
    assert renamed["templateVariables"] == {"company": "Acme"}
    # The SHA-256 of the canonical JSON: sorted keys, no blanks.
    first = renamed["versions"]["nodes"][1]
    assert first["definition"] == DEFINITION
    assert first["hash"] == "cc770e1d0636483f79e86a94d725bf777d9682072e24ef4c8398a3de5dd76e5e"


async def test_a_repeated_create_is_the_same_workflow(studio: Studio) -> None:
    key = str(uuid4())
    made, again = [await studio.make(idempotencyKey=key) for _ in range(2)]
    assert made["workflow"]["id"] == again["workflow"]["id"]
    conflict = await studio.make(idempotencyKey=key, name="Another")
    assert code(conflict) == "IDEMPOTENCY_CONFLICT"


# The steps that a workflow may take from each state, and where they lead.
STEPS = {
    "DRAFT": {"publish": "ACTIVE", "archive": "ARCHIVED"},
    "ACTIVE": {"archive": "ARCHIVED"},
    "ARCHIVED": {"restore": "ACTIVE"},
}


@pytest.mark.parametrize("status", STEPS)
@pytest.mark.parametrize("step", ["publish", "archive", "restore"])
async def test_every_other_step_is_refused(studio: Studio, status: str, step: str) -> None:
    wanted = (await studio.make())["workflow"]["id"]
    for earlier in {"DRAFT": (), "ACTIVE": ("publish",), "ARCHIVED": ("publish", "archive")}[
        status
    ]:
        assert code(await studio(earlier, id=wanted)) is None
    answer = await studio(step, id=wanted)
    if step in STEPS[status]:
        assert answer["workflow"]["status"] == STEPS[status][step]
    else:
        assert (code(answer), answer["errors"][0]["path"]) == ("INVALID_STATE", ["input", "id"])


async def test_a_draft_is_restored_as_a_draft_and_what_is_archived_is_not_changed(
    studio: Studio,
) -> None:
    wanted = (await studio.make())["workflow"]["id"]
    assert (await studio("archive", id=wanted))["workflow"]["status"] == "ARCHIVED"
    assert code(await studio("update", id=wanted, name="Another")) == "INVALID_STATE"
    assert (await studio("restore", id=wanted))["workflow"]["status"] == "DRAFT"


def without(part: str, n: int, field: str) -> dict[str, Any]:
    """The definition without a field of a node or an edge."""
    copy = deepcopy(DEFINITION)
    item = copy[part][n]
    (item["data"] if field in ("name", "prompt") else item).pop(field)
    return copy


def more(part: str, *items: dict[str, Any]) -> dict[str, Any]:
    """The definition with further nodes or edges."""
    copy = deepcopy(DEFINITION)
    copy[part] += items
    return copy


def node(kind: str, named: str) -> dict[str, Any]:
    """A whole node."""
    return {"id": named, "type": kind, "data": {"name": "n", "prompt": "p"}}


WRONG: list[tuple[Any, set[tuple[str, str | None, str | None]]]] = [
    ([], {("workflow", None, None)}),
    ({}, {("workflow", None, "nodes"), ("workflow", None, "edges")}),
    ({"nodes": [1], "edges": []}, {("node", None, "id")}),
    (without("nodes", 0, "name"), {("node", "start", "name")}),
    (without("nodes", 1, "prompt"), {("node", "ask", "prompt")}),
    (without("edges", 0, "label"), {("edge", "e1", "label")}),
    (without("edges", 1, "condition"), {("edge", "e2", "condition")}),
    (without("edges", 0, "source"), {("edge", "e1", "source"), ("node", "start", "edges")}),
    (more("nodes", node("startCall", "start")), {("node", "start", "id")}),
    (more("nodes", node("endCall", "2")), {("workflow", None, "nodes"), ("node", "2", "edges")}),
    (more("nodes", node("globalNode", "g")), set()),
    (
        more("nodes", node("globalNode", "g"), node("globalNode", "h")),
        {("workflow", None, "nodes")},
    ),
    (more("nodes", node("agentNode", "a")), {("node", "a", "edges")}),
    (more("nodes", node("robot", "r")), {("node", "r", "type")}),
    ({**DEFINITION, "notes": "x" * 262_144}, {("workflow", None, None)}),
]


@pytest.mark.parametrize(("definition", "faults"), WRONG)
async def test_everything_wrong_with_a_definition_is_told(
    studio: Studio, definition: Any, faults: set[tuple[str, str | None, str | None]]
) -> None:
    answer = await studio("validate", definition=definition)
    found = {(one["kind"], one["id"], one["field"]) for one in answer["definitionErrors"]}
    assert (found, answer["isValid"]) == (faults, not faults)
    refused = await studio.make(definition=definition)
    assert code(refused) == ("BAD_USER_INPUT" if faults else None)
    paths = {tuple(error["path"]) for error in refused["errors"]}
    assert paths == {
        (
            "input",
            "definition",
            *((f"{kind}s", named) if named else ()),
            *([field] if field else []),
        )
        for kind, named, field in faults
    }
