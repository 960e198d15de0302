"""Campaigns through the API: a list is sent to a signed link, members move it, viewers look on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from db.campaigns.receiving import ContactReceiver
from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from graph.uploads import links
from server.files import Files, routes
from settings import Settings

from ..conftest import MakeUser
from ..workflows import active_workflow, found_organization, join
from .conftest import Ask

LIST = b"phone_number,name\n+4930901820,Ada\n"
CALLS = {
    "announce": """mutation($o: ID!, $size: Int!) {
      answer: createContactList(input: {organizationId: $o, sizeBytes: $size}) {
        contactList { id url status } errors { code path } } }""",
    "create": """mutation($input: CreateCampaignInput!) {
      answer: createCampaign(input: $input) {
        campaign { id status maxRetries retryDelaySeconds windows workflow { id } }
        errors { code path } } }""",
    "start": """mutation($id: ID!) { answer: startCampaign(input: {id: $id}) {
      campaign { status } errors { code } } }""",
    "call": """mutation($w: ID!, $key: String!) {
      answer: startRun(input: {workflowId: $w, to: "+4930901820", idempotencyKey: $key}) {
        run { id status phoneNumber recordingUrl version { number } } errors { code } } }""",
    "see": """query($c: ID!, $r: ID!, $o: ID!) { campaign(id: $c) { status } run(id: $r) { status }
      organization(id: $o) { campaigns { totalCount } runs { totalCount } } }""",
}


class Caller:
    """Asks about the campaigns of one organization."""

    def __init__(self, ask: Ask, client: httpx.AsyncClient, actor: Actor) -> None:
        self.ask, self.client, self.actor = ask, client, actor
        self.organization: str
        self.workflow: str

    async def __call__(self, call: str, actor: Actor | None = None, /, **given: Any) -> Any:
        """The answer of a call, or its top-level error's code."""
        answer = await self.ask(CALLS[call], given, actor=actor or self.actor)
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        return answer["data"].get("answer", answer["data"])

    async def announced(self, size: int = len(LIST)) -> tuple[str, str]:
        """A list, and where to send it."""
        made = (await self("announce", o=self.organization, size=size))["contactList"]
        assert made["status"] == "AWAITING"
        return made["id"], made["url"]

    async def send(self, url: str, data: bytes = LIST) -> int:
        """The status of the answer to the list's bytes."""
        return (await self.client.put(url, content=data)).status_code

    async def sent(self) -> str:
        """A list that has come."""
        list_id, url = await self.announced()
        assert await self.send(url) == 201
        return list_id

    def plan(self, list_id: str, **more: Any) -> dict[str, Any]:
        """The input of a campaign."""
        return {
            "workflowId": self.workflow,
            "contactListId": list_id,
            "name": "Reminders",
            "idempotencyKey": str(uuid4()),
            **more,
        }


@pytest.fixture
async def caller(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser, database: Database, settings: Settings
) -> AsyncIterator[Caller]:
    """An owner, and the server's route for their list."""
    actor = await make_user()
    organization = await found_organization(owner, actor)
    storage: Any = open_storage(settings)
    nothing: Any = None
    app = Starlette(routes=routes())
    contacts = ContactReceiver(database, storage)
    app.state.files = Files(storage, links(), nothing, nothing, contacts, nothing)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        made = Caller(ask, client, actor)
        made.organization = f"organization_{organization}"
        made.workflow = f"workflow_{await active_workflow(owner, organization)}"
        yield made


async def test_a_list_is_sent_once_and_no_larger_than_announced(caller: Caller) -> None:
    list_id, url = await caller.announced()
    early = await caller("create", input=caller.plan(list_id))
    assert early["errors"][0]["code"] == "UPLOAD_MISSING"
    assert await caller.send(url, LIST + b"more") == 413
    assert await caller.send(url, b"") == 422
    assert await caller.send(url.replace("contacts/", "recordings/")) == 403
    assert await caller.send(url) == 201
    assert await caller.send(url) == 409
    made = (await caller("create", input=caller.plan(list_id)))["campaign"]
    assert (made["status"], made["maxRetries"], made["retryDelaySeconds"]) == ("CREATED", 2, 120)
    assert (await caller("start", id=made["id"]))["campaign"]["status"] == "SYNCING"


async def test_viewers_look_on_and_strangers_learn_nothing(
    caller: Caller, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    list_id = await caller.sent()
    campaign = (await caller("create", input=caller.plan(list_id)))["campaign"]["id"]
    run = (await caller("call", w=caller.workflow, key="k"))["run"]
    assert run == {
        "id": run["id"],
        "status": "QUEUED",
        "phoneNumber": "+4930901820",
        "recordingUrl": None,
        "version": {"number": 1},
    }
    assert (await caller("call", w=caller.workflow, key="k"))["run"]["id"] == run["id"]
    viewer, stranger = await make_user(), await make_user()
    await join(owner, UUID(caller.organization.partition("_")[2]), viewer, "VIEWER")
    wanted = {"c": campaign, "r": run["id"], "o": caller.organization}
    assert await caller("see", viewer, **wanted) == {
        "campaign": {"status": "CREATED"},
        "run": {"status": "QUEUED"},
        "organization": {"campaigns": {"totalCount": 1}, "runs": {"totalCount": 1}},
    }
    nothing = {"campaign": None, "run": None, "organization": None}
    assert await caller("see", stranger, **wanted) == nothing
    for actor, refused in ((viewer, "FORBIDDEN"), (stranger, "NOT_FOUND")):
        for answer in (
            await caller("start", actor, id=campaign),
            await caller("call", actor, w=caller.workflow, key="k"),
            await caller("create", actor, input=caller.plan(list_id)),
            await caller("announce", actor, o=caller.organization, size=1),
        ):
            told = answer if isinstance(answer, str) else answer["errors"][0]["code"]
            assert told == refused


async def test_hours_are_kept_as_given_and_all_that_is_wrong_is_told(caller: Caller) -> None:
    windows = [{"days": ["MONDAY", "FRIDAY"], "begins": "09:00", "ends": "17:30"}]
    plan = caller.plan(await caller.sent(), windows=windows, timeZone="Europe/Berlin")
    assert (await caller("create", input=plan))["campaign"]["windows"] == windows
    wrong = plan | {"timeZone": "Mars", "callsPerSecond": 0, "idempotencyKey": ""}
    refused = await caller("create", input=wrong)
    assert [error["path"][1] for error in refused["errors"]] == [
        "timeZone",
        "callsPerSecond",
        "idempotencyKey",
    ]
