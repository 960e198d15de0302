"""VoiceFX end to end: an owner, a member and an outsider, over a socket and by POSTs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from jobs.telephony.simulator import plan_of
from tests.workflows import DEFINITION

from . import voicefx as asks
from .client import Client, Socket
from .devices import Device, device
from .mailbox import Mailbox
from .voicefx import VoiceFX, founded, made_workflow, running_voicefx, sent_list, signed_up, stands

TELEPHONY_SEED = "tallygraph"
NOBODY_AT = "+4930000100"


@pytest.fixture(scope="module")
def voicefx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VoiceFX]:
    """The product, as it is set up for all journeys."""
    with running_voicefx(tmp_path_factory.mktemp("voicefx") / "data") as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


@dataclass
class People:
    """Who owns an organization, who works in it, and who has nothing to do with it."""

    owner: Device
    member: Device
    outsider: Device
    organization: str


@pytest.fixture
async def people(voicefx: VoiceFX, http: httpx.AsyncClient) -> AsyncIterator[People]:
    """An organization; the member was invited by e-mail and has accepted.

    The owner has a socket for everything, the others ask by POSTs.
    """
    async with AsyncExitStack() as stack:
        owner, member, outsider = [
            await stack.enter_async_context(
                device(await signed_up(voicefx, http), over_socket=over_socket)
            )
            for over_socket in (True, False, False)
        ]
        organization = await founded(owner)
        await join(voicefx, owner, member, organization, "MEMBER")
        yield People(owner, member, outsider, organization)


async def join(
    voicefx: VoiceFX, owner: Device, invited: Device, organization: str, role: str
) -> None:
    """Invites somebody, who takes the token out of the mail and accepts."""
    email = str(invited.client.email)
    await owner.do(asks.INVITE, o=organization, email=email, role=role)
    token = await Mailbox(voicefx.server.data_directory, email).token()
    accepted = await invited.do(asks.ACCEPT, token=token)
    members = accepted["organization"]["members"]["nodes"]
    assert {"role": role, "user": {"id": invited.client.user_id}} in members


def number_that(outcome: str) -> str:
    """A number whose first simulated call ends so."""
    return next(
        number
        for number in (f"+49309018{n:04}" for n in range(1000))
        if plan_of(TELEPHONY_SEED, number, 0).outcome == outcome
    )


async def test_a_workflow_is_written_published_and_calls(people: People) -> None:
    owner, member, organization = people.owner, people.member, people.organization
    given = {"o": organization, "name": "Reminder", "definition": DEFINITION, "key": "one"}
    draft = (await member.do(asks.CREATE_WORKFLOW, **given))["workflow"]
    assert draft["status"] == "DRAFT"
    early = {"w": draft["id"], "to": number_that("COMPLETED"), "key": "early"}
    assert (await member.refused(asks.CALL, **early))[0] == ["INVALID_STATE"]
    other = deepcopy(DEFINITION)
    other["nodes"][0]["data"]["prompt"] = "Say good morning."
    await member.do(asks.UPDATE_WORKFLOW, w=draft["id"], definition=other)
    published = (await owner.do(asks.PUBLISH, w=draft["id"]))["workflow"]
    assert [v["number"] for v in published["versions"]["nodes"] if v["isCurrent"]] == [2]

    called = {"w": draft["id"], "to": number_that("COMPLETED"), "key": "call"}
    run = (await member.do(asks.CALL, **called))["run"]
    assert run["version"] == {"number": 2}
    assert (await member.do(asks.CALL, **called))["run"]["id"] == run["id"]
    watched = await owner.watch(asks.WATCH_RUN, {"id": run["id"]})
    ended = await watched.until(status="COMPLETED")
    while ended["recordingUrl"] is None:
        ended = (await watched.next())["run"]
    assert ended["durationSeconds"] > 0
    assert ended["costMicroUsd"] > 0
    assert ended["transcript"].startswith("Agent:")
    recording = await owner.client.http.get(ended["recordingUrl"])
    assert recording.content.startswith(b"RIFF")
    usage = await owner.get(asks.STANDS, "organization.usage", o=organization)
    assert usage == {"workflows": 1, "callsThisMonth": 1, "campaigns": 0}


async def subscribed(voicefx: VoiceFX, people: People, http: httpx.AsyncClient) -> str:
    """The owner subscribes to a plan and pays on Stripe's page; Stripe's name of it."""
    given = {"o": people.organization, "plan": "starter", "key": str(uuid4())}
    made = await people.owner.do(asks.SUBSCRIBE, **given)
    assert made["subscription"]["status"] == "PENDING"
    assert (await people.owner.do(asks.SUBSCRIBE, **given))["checkoutUrl"] == made["checkoutUrl"]
    subscription = voicefx.bank.subscribe(made["checkoutUrl"].rpartition("/")[2])
    await voicefx.told(http)
    await stands(people.owner, people.organization, plan="organizationPlan_starter")
    return subscription


async def test_a_plan_is_outgrown_paid_failed_and_lost(
    voicefx: VoiceFX, people: People, http: httpx.AsyncClient
) -> None:
    owner, organization = people.owner, people.organization
    await made_workflow(people.member, organization)
    more = {"o": organization, "name": "Another", "definition": DEFINITION}
    codes, refused = await people.member.refused(asks.CREATE_WORKFLOW, **more, key="more")
    assert codes == ["PLAN_LIMIT_REACHED"]
    (error,) = refused["errors"]
    told = {name: error[name] for name in ("limit", "used", "planId")}
    assert told == {"limit": 1, "used": 1, "planId": "organizationPlan_starter"}
    member_pays = {"o": organization, "plan": "starter", "key": "member"}
    assert await refusal(people.member.client, asks.SUBSCRIBE, member_pays) == "FORBIDDEN"

    watched = await owner.watch(asks.WATCH_ORGANIZATION, {"id": organization})
    subscription = await subscribed(voicefx, people, http)
    await watched.until(plan={"id": "organizationPlan_starter"})
    assert (await people.member.do(asks.CREATE_WORKFLOW, **more, key="more"))["workflow"]
    now = await stands(owner, organization, status="ACTIVE")
    assert now["limits"] == {"workflows": 5, "callsPerMonth": 500, "campaigns": 3}
    assert now["withinLimits"] == {"workflows": True, "calls": True, "campaigns": True}
    assert [(one["status"], one["totalCents"]) for one in now["invoices"]["nodes"]] == [
        ("PAID", 2900)
    ]

    preview = (await owner.do(asks.PREVIEW, o=organization, plan="pro"))["preview"]
    assert (preview["dueCents"], preview["currency"]) == (7000, "USD")
    await owner.do(asks.CHANGE, o=organization, plan="pro", key="pro")
    await voicefx.told(http)
    now = await stands(owner, organization, plan="organizationPlan_pro")
    assert now["limits"] == {"workflows": -1, "callsPerMonth": 5000, "campaigns": -1}
    assert (await owner.do(asks.PORTAL, o=organization))["url"].startswith("https://billing.")
    assert (await owner.do(asks.CANCEL_SUBSCRIPTION, o=organization))["subscription"] == {
        "cancelAtPeriodEnd": True
    }
    await owner.do(asks.RESUME_SUBSCRIPTION, o=organization)

    voicefx.bank.declines = True
    voicefx.bank.renew(subscription)
    voicefx.bank.declines = False
    await voicefx.told(http)
    now = await stands(owner, organization, status="PAST_DUE")
    assert now["plan"] == {"id": "organizationPlan_pro"}, "kept for the grace"
    assert now["subscription"]["graceEndsAt"] is not None
    notices = await owner.get(asks.NOTICES, "viewer.notifications.nodes")
    assert any("payment" in one["titleKey"].lower() for one in notices), notices
    voicefx.bank.set_status(subscription, "canceled")
    await voicefx.told(http)
    now = await stands(owner, organization, plan="organizationPlan_free")
    assert (now["usage"]["workflows"], now["withinLimits"]["workflows"]) == (2, False)


def contacts(count: int) -> bytes:
    """A list with so many people, one wrong number and one number twice."""
    rows = [f"+4930000{n:04},Person {n}" for n in range(200, 200 + count)]
    return "\n".join(["phone_number,first_name", *rows, "030 12,Wrong", rows[0]]).encode()


async def test_a_campaign_calls_everybody_pauses_and_goes_on(
    voicefx: VoiceFX, people: People, http: httpx.AsyncClient
) -> None:
    member, organization = people.member, people.organization
    workflow = await made_workflow(member, organization)
    plan = {
        "workflowId": workflow, "contactListId": await sent_list(member, organization, contacts(8)),
        "name": "Spring", "callsPerSecond": 2.0, "maxRetries": 1, "retryDelaySeconds": 0,
    }  # fmt: skip
    codes, refused = await member.refused(
        asks.CREATE_CAMPAIGN, input=plan | {"idempotencyKey": "no"}
    )
    assert (codes, refused["errors"][0]["limit"]) == (["PLAN_LIMIT_REACHED"], 0)
    await subscribed(voicefx, people, http)
    made = await member.do(asks.CREATE_CAMPAIGN, input=plan | {"idempotencyKey": "yes"})
    campaign = made["campaign"]["id"]
    watched = await people.owner.watch(asks.WATCH_CAMPAIGN, {"id": campaign})
    assert (await watched.next())["campaign"]["status"] == "CREATED"
    assert (await member.refused(asks.PAUSE, id=campaign))[0] == ["INVALID_STATE"]
    await member.do(asks.START, id=campaign)
    while (shown := await watched.next())["campaign"]["callCount"] < 2:
        pass
    await member.do(asks.PAUSE, id=campaign)
    paused = await watched.until(status="PAUSED")
    assert (paused["contactCount"], paused["refusedRowCount"]) == (8, 2)
    await asyncio.sleep(0.5)
    held = (await member.get(asks.SEE_CAMPAIGN, "campaign", id=campaign))["callCount"]
    assert held < 8, "those that were not dialled wait"
    await member.do(asks.RESUME, id=campaign)
    await watched.until(status="COMPLETED")

    # Who watches again from a cursor misses nothing, and sees nothing twice.
    again = await people.owner.watch(
        asks.WATCH_CAMPAIGN, {"id": campaign, "after": shown["cursor"]}
    )
    assert (await again.until(status="PAUSED"))["contactCount"] == 8
    ended = await member.get(asks.SEE_CAMPAIGN, "campaign", id=campaign)
    assert ended["processedCount"] + ended["failedCount"] == 8
    rows = [row["rowNumber"] for row in ended["refusedRows"]["nodes"]]
    assert rows == [9, 10]
    for contact in ended["contacts"]["nodes"]:
        number = contact["phoneNumber"]
        calls = [run for run in ended["runs"]["nodes"] if run["phoneNumber"] == number]
        assert [run["attempt"] for run in reversed(calls)] == list(range(1, contact["calls"] + 1))
        assert calls[0]["status"] == plan_of(TELEPHONY_SEED, number, len(calls) - 1).outcome
        assert contact["variables"]["first_name"].startswith("Person")


async def test_a_viewer_looks_on_an_outsider_learns_nothing_and_who_is_removed_sees_no_more(
    voicefx: VoiceFX, people: People, http: httpx.AsyncClient
) -> None:
    owner, member, outsider = people.owner, people.member, people.outsider
    organization = people.organization
    await subscribed(voicefx, people, http)
    workflow = await made_workflow(member, organization)
    lists = await sent_list(member, organization, contacts(1))
    plan = {"workflowId": workflow, "contactListId": lists, "name": "N", "idempotencyKey": "n"}
    campaign = (await member.do(asks.CREATE_CAMPAIGN, input=plan))["campaign"]["id"]
    run = (await member.do(asks.CALL, w=workflow, to=NOBODY_AT, key="n"))["run"]["id"]
    await owner.do(asks.SET_ROLE, o=organization, u=member.client.user_id, role="VIEWER")
    assert await member.get(asks.STANDS, "organization.name", o=organization) == "Acme"

    changes: list[tuple[str, dict[str, Any]]] = [
        (asks.RENAME, {"o": organization, "name": "Mine"}),
        (asks.INVITE, {"o": organization, "email": "me@example.test", "role": "ADMIN"}),
        (asks.SET_ROLE, {"o": organization, "u": member.client.user_id, "role": "OWNER"}),
        (asks.REMOVE, {"o": organization, "u": owner.client.user_id}),
        (
            asks.CREATE_WORKFLOW,
            {"o": organization, "name": "W", "definition": DEFINITION, "key": "w"},
        ),
        (asks.UPDATE_WORKFLOW, {"w": workflow, "definition": DEFINITION}),
        (asks.PUBLISH, {"w": workflow}),
        (asks.ARCHIVE, {"w": workflow}),
        (asks.CALL, {"w": workflow, "to": NOBODY_AT, "key": "o"}),
        (asks.ANNOUNCE, {"o": organization, "size": 1}),
        (asks.CREATE_CAMPAIGN, {"input": plan | {"idempotencyKey": "o"}}),
        *((step, {"id": campaign}) for step in (asks.START, asks.PAUSE, asks.RESUME, asks.CANCEL)),
        (asks.SUBSCRIBE, {"o": organization, "plan": "pro", "key": "o"}),
        (asks.PREVIEW, {"o": organization, "plan": "pro"}),
        (asks.CHANGE, {"o": organization, "plan": "pro", "key": "o"}),
        (asks.CANCEL_SUBSCRIPTION, {"o": organization}),
        (asks.RESUME_SUBSCRIPTION, {"o": organization}),
        (asks.PORTAL, {"o": organization}),
    ]
    for text, given in changes:
        assert await refusal(member.client, text, given) == "FORBIDDEN", text
        assert await refusal(outsider.client, text, given) == "NOT_FOUND", text
    for text, given in (
        (asks.WATCH_ORGANIZATION, {"id": organization}),
        (asks.WATCH_CAMPAIGN, {"id": campaign}),
        (asks.WATCH_RUN, {"id": run}),
    ):
        async with outsider.client.socket() as socket:
            await socket.subscribe("x", text, given)
            message = await socket.next("x")
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == "NOT_FOUND"
    assert (await outsider.ask(asks.STANDS, {"o": organization}))["organization"] is None
    assert (await outsider.ask(asks.SEE_CAMPAIGN, {"id": campaign}))["campaign"] is None

    async with member.client.socket() as socket:
        await socket.subscribe("organization", asks.WATCH_ORGANIZATION, {"id": organization})
        await socket.subscribe("campaign", asks.WATCH_CAMPAIGN, {"id": campaign})
        for name in ("organization", "campaign"):
            assert (await socket.next(name))["type"] == "next"
        removed = time.monotonic()
        await owner.do(asks.REMOVE, o=organization, u=member.client.user_id)
        assert (await member.ask(asks.STANDS, {"o": organization}))["organization"] is None
        for name in ("organization", "campaign"):
            message = await socket.next(name)
            assert message["type"] == "error", message
        assert time.monotonic() - removed < 5
    for text, given in changes:
        assert await refusal(member.client, text, given) == "NOT_FOUND", text


async def test_a_key_acts_in_its_organization_alone_and_dies_at_once(
    voicefx: VoiceFX, people: People, http: httpx.AsyncClient
) -> None:
    owner, member, organization = people.owner, people.member, people.organization
    wanted: dict[str, Any] = {"o": organization, "role": "MEMBER", "scopes": ["READ", "WRITE"]}
    for one, code in ((member, "FORBIDDEN"), (people.outsider, "NOT_FOUND")):
        assert await refusal(one.client, asks.CREATE_KEY, wanted) == code
    made = await owner.do(asks.CREATE_KEY, **wanted)
    key = made["apiKey"]["id"]
    assert made["apiKey"] == {
        "id": key, "role": "MEMBER", "scopes": ["READ", "WRITE"],
        "organization": {"id": organization},
    }  # fmt: skip
    robot = Client(voicefx.server.url, http, token=made["secret"])
    assert (await robot.ask(asks.WHERE_KEY_ACTS))["viewer"] == {
        "email": None,
        "memberships": {"nodes": [{"role": "MEMBER", "organization": {"id": organization}}]},
    }
    given = {"o": organization, "name": "By robot", "definition": DEFINITION, "key": "r"}
    workflow = (await robot.ask(asks.CREATE_WORKFLOW, given))["createWorkflow"]["workflow"]["id"]
    other = await founded(people.outsider)
    assert (await robot.ask(asks.STANDS, {"o": other}))["organization"] is None
    assert await refusal(robot, asks.CREATE_WORKFLOW, given | {"o": other}) == "NOT_FOUND"
    # What is about members, keys and money takes a person.
    for text, more in (
        (asks.INVITE, {"o": organization, "email": "me@example.test", "role": "VIEWER"}),
        (asks.CREATE_KEY, wanted),
        (asks.SUBSCRIBE, {"o": organization, "plan": "pro", "key": "k"}),
        (asks.DELETE, {"o": organization}),
    ):
        assert await refusal(robot, text, more) == "FORBIDDEN", text
    # It takes no seat, and is no member to people.
    seen = await owner.get(MEMBERS, "organization", o=organization)
    assert (seen["members"]["totalCount"], seen["usage"]["seats"]) == (2, 2)
    nobody = {"o": organization, "u": await robot_of(robot), "role": "OWNER"}
    assert await refusal(owner.client, asks.SET_ROLE, nobody) == "NOT_FOUND"

    looks = await owner.do(asks.CREATE_KEY, o=organization, role="VIEWER", scopes=["READ", "WRITE"])
    viewer = Client(voicefx.server.url, http, token=looks["secret"])
    assert await refusal(viewer, asks.PUBLISH, {"w": workflow}) == "FORBIDDEN"
    listed = await owner.get(asks.KEYS, "organization.apiKeys.nodes", o=organization)
    assert {one["role"] for one in listed} == {"MEMBER", "VIEWER"}
    assert await member.get(asks.KEYS, "organization.apiKeys.nodes", o=organization) == []

    rotated = await owner.do(asks.ROTATE_KEY, id=key)
    async with asyncio.timeout(5):
        while (await robot.post(asks.WHERE_KEY_ACTS)).status_code != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    robot.token = rotated["secret"]
    for one, code in ((member, "NOT_FOUND"), (people.outsider, "NOT_FOUND")):
        assert await refusal(one.client, asks.REVOKE_KEY, {"id": key}) == code
    async with robot.socket() as socket:
        await socket.subscribe("organization", asks.WATCH_ORGANIZATION, {"id": organization})
        assert (await socket.next("organization"))["type"] == "next"
        revoked = time.monotonic()
        await owner.do(asks.REVOKE_KEY, id=key)
        with pytest.raises(ConnectionClosed):
            await anything(socket)
        assert time.monotonic() - revoked < 5
    assert (await robot.post(asks.WHERE_KEY_ACTS)).status_code == 401

    log = await owner.get(asks.LOG, "organization.auditLog.nodes", o=organization)
    done = [(one["action"], one["actor"]) for one in reversed(log)]
    email = owner.client.email
    assert done[:1] == [("CREATE_ORGANIZATION", email)]
    assert ("ACCEPT_INVITATION", member.client.email) in done
    assert ("CREATE_WORKFLOW", "Dialler") in done
    assert ("REVOKE_API_KEY", email) in done
    for one in (member, people.outsider):
        found = (await one.ask(asks.LOG, {"o": organization}))["organization"]
        assert found in (None, {"auditLog": {"nodes": []}})


async def anything(socket: Socket) -> None:
    """Whatever comes, until the connection is closed."""
    while True:
        await socket.next("organization")


MEMBERS = "query($o: ID!) { organization(id: $o) { members { totalCount } usage { seats } } }"


async def robot_of(robot: Client) -> str:
    """The user that a key acts as."""
    found: str = (await robot.ask("{ viewer { id } }"))["viewer"]["id"]
    return found


async def test_an_organization_is_deleted_after_a_grace_with_its_keys(
    voicefx: VoiceFX, people: People, http: httpx.AsyncClient
) -> None:
    owner, organization = people.owner, people.organization
    made = await owner.do(asks.CREATE_KEY, o=organization, role="VIEWER", scopes=["READ"])
    assert await refusal(people.member.client, asks.DELETE, {"o": organization}) == "FORBIDDEN"
    assert await refusal(people.outsider.client, asks.DELETE, {"o": organization}) == "NOT_FOUND"
    gone = {"o": organization, "name": "Late", "definition": DEFINITION, "key": "late"}
    for _ in range(2):
        assert (await owner.do(asks.DELETE, o=organization))["organization"]["deletesAt"]
        assert await refusal(owner.client, asks.CREATE_WORKFLOW, gone) == "INVALID_STATE"
        kept = await owner.do(asks.KEEP, o=organization)
        assert kept["organization"] == {"deletesAt": None}
    await owner.do(asks.CREATE_WORKFLOW, **gone)
    await owner.do(asks.DELETE, o=organization)
    key = Client(voicefx.server.url, http, token=made["secret"])
    assert (await key.post(asks.WHERE_KEY_ACTS)).status_code == 200
    await voicefx.owner(
        "update organizations set deletes_at = now() where id = $1",
        UUID(organization.partition("_")[2]),
    )
    await voicefx.due_now("erase_due_orgs")
    async with asyncio.timeout(20):
        while (await owner.ask(asks.STANDS, {"o": organization}))["organization"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        while (await key.post(asks.WHERE_KEY_ACTS)).status_code != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def refusal(client: Client, text: str, given: dict[str, Any]) -> str:
    """The code of what is refused, in the payload or at the top."""
    answer: dict[str, Any] = (await client.post(text, given)).json()
    if "errors" in answer:
        return str(answer["errors"][0]["extensions"]["code"])
    (payload,) = answer["data"].values()
    return str(payload["errors"][0]["code"])
