"""Attuned end to end: two people on two devices and a guest, once by POSTs and once over sockets."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import httpx
import pytest
from graphql import OperationDefinitionNode, parse, print_ast

from db.demo.people import PASSWORD
from tests.attuned import SURVEY, short_answers
from tests.running import ROOT, RunningServer, run_command, running_server

from .client import Client
from .devices import Device, device
from .mailbox import Mailbox, text_of

START = f"""mutation {{ startSurvey(input: {{surveyId: "{SURVEY}", form: SHORT}}) {{
  surveyRun {{ id status itemCount answeredCount answers {{ itemId value }} }} errors {{ code }} }} }}"""
SAVE = """mutation($run: ID!, $answers: [SurveyAnswerInput!]!, $key: String!) {
  saveSurveyAnswers(input: {runId: $run, answers: $answers, idempotencyKey: $key}) {
    surveyRun { answeredCount savedAt } errors { code path message } } }"""
SUBMIT = """mutation($run: ID!) { submitSurvey(input: {runId: $run}) {
  surveyProfile { version archetype powerOrientation radar { labelKey x y } } errors { code } } }"""
ME = """{ viewer { timeZone onboarding { nextStep canPlay isPersonalized } demographics { name anatomySelf }
  surveyProfile { version archetype tags powerOrientation domainScores { domain score }
    radar { domain score x y } boundaries { itemId kind } } } }"""
DOCUMENTS = "{ legalDocuments { documentId version title body isRequired isInForce } }"
AGREE = """mutation($document: String!, $version: String!) {
  recordConsent(input: {documentId: $document, version: $version}) { errors { code } } }"""
WHO = """mutation { updateDemographics(input: {name: "Ada", gender: WOMAN, orientation: BISEXUAL,
  anatomySelf: [VAGINA, BREASTS], anatomyPreference: [PENIS, VAGINA, BREASTS]}) { errors { code } } }"""
ZONE = 'mutation { updateUser(input: {timeZone: "Europe/Berlin"}) { errors { code } } }'
TEXTS = '{ translations(locale: "en") { key text } }'
GUEST = """mutation { signInAnonymously(input: {}) {
  session { accessToken refreshToken } errors { code } } }"""
EMAIL = "{ viewer { email } }"
REQUEST = """mutation($email: String!) { requestPartner(input: {email: $email}) {
  request { id status isExpired expiresAt } errors { code } } }"""
REQUESTS = "subscription { partnerRequestsChanged { kind request { id status requesterName } } }"
ACCEPT = """mutation($id: ID!) { acceptPartner(input: {requestId: $id}) {
  request { status } errors { code } } }"""
WATCH_PARTNERS = """subscription { partnersChanged {
  kind deletedId partner { id status displayName } } }"""
PARTNERS = "{ viewer { partners { nodes { id status sharing shared displayName } } } }"
SHOWN = """{ viewer { partners { nodes {
  demographics { name } surveyProfile { powerOrientation } answers { itemId } } } } }"""
SHARE = """mutation($id: ID!, $level: SharingLevel!) { setSharing(input: {partnerId: $id, level: $level}) {
  partner { sharing } errors { code } } }"""
NOTICES = "{ viewer { notifications(first: 1) { nodes { titleKey } } } }"
SESSION = """playSession { id status version level players { id name status userId } turn { playerId }
  current { id kind text why status playerId } nudge { options } }
  dailyLimit { used limit remaining upgradeRequired } errors { code }"""
PLAY = f"""mutation($players: [PlayPlayerInput!]!, $key: String) {{
  startPlaySession(input: {{level: R, players: $players, idempotencyKey: $key}}) {{ {SESSION} }} }}"""
CONFIRM = f"mutation($id: ID!) {{ confirmPlaySession(input: {{id: $id}}) {{ {SESSION} }} }}"
DRAW = f"""mutation($id: ID!, $version: Int!) {{
  drawActivity(input: {{sessionId: $id, version: $version}}) {{ {SESSION} }} }}"""
SKIP = f"""mutation($id: ID!, $version: Int!) {{
  skipActivity(input: {{sessionId: $id, version: $version}}) {{ {SESSION} }} }}"""
COMPLETE = f"""mutation($id: ID!, $version: Int!) {{
  completeActivity(input: {{sessionId: $id, version: $version, feedback: LIKE}}) {{ {SESSION} }} }}"""
END = f"mutation($id: ID!) {{ endPlaySession(input: {{id: $id}}) {{ {SESSION} }} }}"
WATCH_PLAY = """subscription($id: ID!) { playSessionChanged(id: $id) { playSession {
  id status version players { status } turn { playerId } current { id kind text status playerId } } } }"""
PLACES = """{ viewer { playPlaces { nodes { status session { id status } } }
  dailyLimit { used limit remaining upgradeRequired } } }"""
INVITED = "{ viewer { playPlaces(first: 1) { nodes { status session { id } } } } }"
EXPORT = "mutation { exportMyData { export { id } errors { code } } }"
EXPORTS = "{ viewer { exports { nodes { status url } } } }"
DELETE = "mutation { deleteAccount { deletesAt errors { code } } }"
SIGN_IN = """mutation($email: String!, $password: String!) {
  signIn(input: {email: $email, password: $password}) { session { accessToken } errors { code } } }"""
MERGE = """mutation($token: String!) { mergeAnonymousAccount(input: {anonymousRefreshToken: $token}) {
  errors { code } } }"""


@dataclass
class Attuned:
    """The product as its clients meet it."""

    server: RunningServer
    seeds: dict[str, int]


@pytest.fixture(scope="module")
def attuned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attuned]:
    """A deployment with the survey, the documents, the texts and the people of the demo."""
    folder = tmp_path_factory.mktemp("attuned") / "data"
    with running_server(folder, ACCOUNT_DELETION_DAYS="0") as server:
        yield Attuned(server, seeded(server))


def seeded(server: RunningServer) -> dict[str, int]:
    """Loads the product with its people; gives how many there are of what."""
    done = run_command(server.data_directory, "seed", "attuned", "--demo")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip().partition(" ") for line in done.stderr.splitlines()]
    return {what.strip(): int(count) for count, _, what in lines if count.isdigit()}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


async def newcomer(attuned: Attuned, http: httpx.AsyncClient) -> Client:
    """Somebody who has just signed up."""
    client = Client(attuned.server.url, http)
    await client.sign_up()
    return client


async def consent(client: Client) -> None:
    """Agrees to what has to be agreed to."""
    for document in (await client.ask(DOCUMENTS))["legalDocuments"]:
        if document["isRequired"] and document["isInForce"]:
            given = {"document": document["documentId"], "version": document["version"]}
            assert (await client.ask(AGREE, given))["recordConsent"]["errors"] == []


async def save(client: Client, run: str, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Saves a batch of answers; gives the run."""
    given = {"run": run, "answers": answers, "key": str(uuid4())}
    payload = (await client.ask(SAVE, given))["saveSurveyAnswers"]
    assert payload["errors"] == []
    found: dict[str, Any] = payload["surveyRun"]
    return found


async def surveyed(client: Client, **others: Any) -> dict[str, Any]:
    """Submits the short form, each answer saved by itself as a client does; gives the profile."""
    run = (await client.ask(START))["startSurvey"]["surveyRun"]["id"]
    for answer in short_answers(**others):
        await save(client, run, [answer])
    payload = (await client.ask(SUBMIT, {"run": run}))["submitSurvey"]
    assert payload["errors"] == []
    found: dict[str, Any] = payload["surveyProfile"]
    return found


async def next_step(client: Client) -> str:
    """What the client shows next."""
    step: str = (await client.ask(ME))["viewer"]["onboarding"]["nextStep"]
    return step


async def test_from_signing_up_to_a_profile(attuned: Attuned, http: httpx.AsyncClient) -> None:
    # The documents are readable before anybody signs in.
    assert (await Client(attuned.server.url, http).ask(DOCUMENTS))["legalDocuments"]
    ada = await newcomer(attuned, http)
    assert await next_step(ada) == "CONSENT"
    await consent(ada)
    assert await next_step(ada) == "DEMOGRAPHICS"
    assert (await ada.ask(WHO))["updateDemographics"]["errors"] == []
    assert (await ada.ask(ZONE))["updateUser"]["errors"] == []
    assert await next_step(ada) == "SURVEY"

    # A second device goes on where the first one stopped.
    run = (await ada.ask(START))["startSurvey"]["surveyRun"]
    answers = short_answers(A13=7, A14=1)
    await save(ada, run["id"], answers[:6])
    tablet = Client(attuned.server.url, http, token=ada.token)
    resumed = (await tablet.ask(START))["startSurvey"]["surveyRun"]
    assert (resumed["id"], resumed["answeredCount"]) == (run["id"], 6)
    assert (await save(tablet, run["id"], answers[6:]))["answeredCount"] == run["itemCount"]
    assert (await tablet.ask(SUBMIT, {"run": run["id"]}))["submitSurvey"]["errors"] == []

    me = (await ada.ask(ME))["viewer"]
    assert me["onboarding"] == {"nextStep": "DONE", "canPlay": True, "isPersonalized": True}
    assert (me["timeZone"], me["demographics"]["name"]) == ("Europe/Berlin", "Ada")
    profile = me["surveyProfile"]
    assert (profile["version"], profile["powerOrientation"]) == (1, "TOP")
    assert [point["domain"] for point in profile["radar"]] == [
        "SENSATION", "POWER", "CONNECTION", "EXPLORATION", "VERBAL",
    ]  # fmt: skip
    # Whatever the client shows has a text.
    texts = {row["key"] for row in (await ada.ask(TEXTS))["translations"]}
    shown = {f"survey.archetype.{profile['archetype'].lower()}.name"}
    shown |= {f"survey.tag.{tag.lower()}" for tag in profile["tags"]}
    assert shown <= texts

    # Editing an answer makes the next version, and the boundary that it draws.
    assert (await surveyed(ada, A13=7, A14=1, B3a="NO"))["version"] == 2
    boundaries = (await ada.ask(ME))["viewer"]["surveyProfile"]["boundaries"]
    assert {"itemId": "B3a", "kind": "HARD"} in boundaries


async def test_a_guest_has_a_profile_and_takes_it_along(
    attuned: Attuned, http: httpx.AsyncClient
) -> None:
    guest, member = Client(attuned.server.url, http), await newcomer(attuned, http)
    session = (await guest.ask(GUEST))["signInAnonymously"]["session"]
    guest.token = session["accessToken"]
    await consent(guest)
    assert (await guest.ask(WHO))["updateDemographics"]["errors"] == []
    assert (await surveyed(guest, C1=["breath"]))["version"] == 1
    game = await begun(guest, [{"name": "Kim", "anatomy": ["breasts"]}])
    drawn = (await guest.ask(DRAW, {"id": game["id"], "version": game["version"]}))["drawActivity"]
    assert (drawn["errors"], drawn["dailyLimit"]["used"]) == ([], 1)
    merged = await member.ask(MERGE, {"token": session["refreshToken"]})
    assert merged["mergeAnonymousAccount"]["errors"] == []
    me = (await member.ask(ME))["viewer"]
    assert (me["onboarding"]["nextStep"], me["surveyProfile"]["version"]) == ("DONE", 1)
    assert {"itemId": "breath", "kind": "HARD"} in me["surveyProfile"]["boundaries"]
    # The game goes on in the member's name, and counts for their day.
    mine = (await member.ask(PLACES))["viewer"]
    assert mine["playPlaces"]["nodes"] == [
        {"status": "JOINED", "session": {"id": game["id"], "status": "ACTIVE"}}
    ]
    assert mine["dailyLimit"] == {
        "used": 1, "limit": 25, "remaining": 24, "upgradeRequired": False,
    }  # fmt: skip
    version = drawn["playSession"]["version"]
    done = await member.ask(COMPLETE, {"id": game["id"], "version": version})
    assert done["completeActivity"]["errors"] == []


async def begun(client: Client, players: list[dict[str, Any]]) -> dict[str, Any]:
    """A session with these beside whoever starts it."""
    payload = (await client.ask(PLAY, {"players": players}))["startPlaySession"]
    assert payload["errors"] == []
    found: dict[str, Any] = payload["playSession"]
    return found


@pytest.fixture(params=["POSTs and event streams", "sockets"])
async def pair(
    request: pytest.FixtureRequest, attuned: Attuned, http: httpx.AsyncClient
) -> AsyncIterator[tuple[Device, Device]]:
    """Ada and Bob, who have signed up, agreed, said who they are and answered the survey."""
    async with AsyncExitStack() as stack:
        devices = []
        for answers in ({"A13": 7, "A14": 1}, {"A13": 1, "A14": 7}):
            client = await newcomer(attuned, http)
            await consent(client)
            assert (await client.ask(WHO))["updateDemographics"]["errors"] == []
            await surveyed(client, **answers)
            opened = device(client, over_socket=request.param == "sockets")
            devices.append(await stack.enter_async_context(opened))
        yield devices[0], devices[1]


async def connected(attuned: Attuned, ada: Device, bob: Device) -> str:
    """Connects the two as they watch; gives the id of Ada's partner."""
    requests, partners = await bob.watch(REQUESTS), await ada.watch(WATCH_PARTNERS)
    assert (await requests.next())["kind"] is (await partners.next())["kind"] is None
    email = await bob.get(EMAIL, "viewer.email")
    known = (await ada.do(REQUEST, email=email))["request"]
    unknown = (await ada.do(REQUEST, email=f"{uuid4()}@example.test"))["request"]
    for name in ("status", "isExpired"):
        assert known[name] == unknown[name]
    asked = await requests.until(status="PENDING")
    assert asked["id"] == known["id"]
    assert await bob.get(NOTICES, "viewer.notifications.nodes.0.titleKey") == (
        "notifications.partnerRequest.title"
    )
    mailed = Mailbox(attuned.server.data_directory, email)
    asker = await ada.get(EMAIL, "viewer.email")
    while asker not in text_of(await mailed.next()):
        pass
    assert (await bob.do(ACCEPT, id=asked["id"]))["request"]["status"] == "ACCEPTED"
    partner = await partners.until(status="CONNECTED")
    listed = await ada.get(PARTNERS, "viewer.partners.nodes.0")
    assert (listed["id"], listed["sharing"], listed["shared"]) == (
        partner["id"], "OVERLAPPING", "OVERLAPPING",
    )  # fmt: skip
    return str(partner["id"])


async def test_two_people_connect_play_and_part(
    attuned: Attuned, pair: tuple[Device, Device], http: httpx.AsyncClient
) -> None:
    ada, bob = pair
    partner = await connected(attuned, ada, bob)

    # What Bob sees of Ada is what she shows him now.
    for level, power, has_answers in (
        ("OVERLAPPING", None, True),
        ("ALL", "TOP", True),
        ("DEMOGRAPHICS", None, False),
    ):
        assert (await ada.do(SHARE, id=partner, level=level))["partner"]["sharing"] == level
        shown = await bob.get(SHOWN, "viewer.partners.nodes.0")
        assert shown["demographics"]["name"] == "Ada"
        assert (shown["surveyProfile"] or {}).get("powerOrientation") == power, level
        assert bool(shown["answers"]) == has_answers, level

    # Bob confirms on his own device before anything is drawn.
    robin = {"name": "Robin", "anatomy": ["breasts"]}
    given = {"players": [{"partnerId": partner}, robin], "key": str(uuid4())}
    session = (await ada.do(PLAY, **given))["playSession"]
    assert (await ada.do(PLAY, **given))["playSession"]["id"] == session["id"]
    assert session["status"] == "WAITING"
    game = {"id": session["id"]}
    assert (await ada.refused(DRAW, **game, version=session["version"]))[0] == [
        "CONFIRMATION_REQUIRED"
    ]
    assert await bob.get(INVITED, "viewer.playPlaces.nodes.0") == {
        "status": "INVITED",
        "session": {"id": session["id"]},
    }
    on_ada, on_bob = await ada.watch(WATCH_PLAY, game), await bob.watch(WATCH_PLAY, game)
    await bob.do(CONFIRM, **game)
    started = await on_ada.until(status="ACTIVE")
    assert [player["status"] for player in started["players"]] == ["JOINED", "JOINED", "PRESENT"]

    # What one draws is on the other's device, and a device that is behind changes nothing.
    drawn = (await ada.do(DRAW, **game, version=started["version"]))["playSession"]
    seen = await on_bob.until(version=drawn["version"])
    assert seen["current"]["text"] == drawn["current"]["text"]
    codes, stale = await bob.refused(SKIP, **game, version=started["version"])
    assert codes == ["STALE_TURN"]
    assert stale["playSession"]["version"] == drawn["version"]
    assert stale["playSession"]["current"] == drawn["current"]
    skipped = (await bob.do(SKIP, **game, version=drawn["version"]))["playSession"]
    assert skipped["current"]["kind"] == drawn["current"]["kind"]
    assert skipped["current"]["id"] != drawn["current"]["id"]
    assert skipped["current"]["playerId"] == drawn["turn"]["playerId"]
    done = await bob.do(COMPLETE, **game, version=skipped["version"])
    after = done["playSession"]
    assert after["current"] is None
    assert after["turn"]["playerId"] != drawn["turn"]["playerId"]
    assert (await on_ada.until(version=after["version"]))["turn"] == after["turn"]
    # Who draws is whose day it is.
    assert await ada.get(PLACES, "viewer.dailyLimit.used") == 1
    assert done["dailyLimit"] == {
        "used": 1, "limit": 25, "remaining": 24, "upgradeRequired": False,
    }  # fmt: skip
    # The third has no account and no device: the others draw for them, when it is their turn.
    for who, is_robins in ((bob, False), (ada, True)):
        given = game | {"version": after["version"]}
        after = (await who.do(DRAW, **given))["playSession"]
        turn = next(p for p in after["players"] if p["id"] == after["turn"]["playerId"])
        assert (turn["userId"] is None) == is_robins
        given = game | {"version": after["version"]}
        after = (await who.do(COMPLETE, **given))["playSession"]
    assert after["turn"] == drawn["turn"], "it goes round"
    await bob.do(END, **game)
    assert (await on_ada.until(status="ENDED"))["version"] > after["version"]

    await takes_everything_along(ada, http)
    await leaves(ada, bob)


async def takes_everything_along(ada: Device, http: httpx.AsyncClient) -> None:
    """The archive has what each slice knows of somebody, and nothing of the other."""
    await ada.do(EXPORT)
    async with asyncio.timeout(30):
        while (export := await ada.get(EXPORTS, "viewer.exports.nodes.0"))["status"] != "READY":
            assert export["status"] != "FAILED"
            await asyncio.sleep(0.1)
    with ZipFile(io.BytesIO((await http.get(export["url"])).content)) as archive:
        tables: dict[str, list[Any]] = {}
        for name in archive.namelist():
            if name.endswith(".json") and name != "manifest.json":
                tables |= json.loads(archive.read(name))
    for table in (
        "survey_runs", "survey_answers", "survey_profiles", "boundaries", "demographics",
        "consents", "partners", "play_sessions", "play_turns", "play_history", "play_themes",
    ):  # fmt: skip
        assert tables[table], table
    assert len(tables["demographics"]) == len(tables["survey_profiles"]) == 1


async def leaves(ada: Device, bob: Device) -> None:
    """With the account goes what it had; the partner's list follows at once."""
    partners = await bob.watch(WATCH_PARTNERS)
    assert (await partners.next())["kind"] is None
    assert await bob.get(PARTNERS, "viewer.partners.nodes.0.status") == "CONNECTED"
    await ada.do(DELETE)
    while (await partners.next())["deletedId"] is None:
        pass
    assert await bob.get(PARTNERS, "viewer.partners.nodes") == []


async def test_the_people_of_the_demo_are_as_they_are_described(
    attuned: Attuned, http: httpx.AsyncClient
) -> None:
    seeds = attuned.seeds
    assert (seeds["people"], seeds["guests"], seeds["play sessions"]) == (5, 3, 2)
    assert seeds["activities"] >= 120
    # Nobody there is written to.
    mails = (attuned.server.data_directory / "outbox").glob("*.eml")
    assert not [mail for mail in mails if b"bob@test.com" in mail.read_bytes()]
    again = await asyncio.to_thread(seeded, attuned.server)
    assert (again["people"], again["guests"], again["play sessions"]) == (0, 0, 0)
    shown = {}
    for name in ("alice", "bob", "charlie", "diana", "eve"):
        client = Client(attuned.server.url, http)
        given = {"email": f"{name}@test.com", "password": PASSWORD}
        session = (await client.ask(SIGN_IN, given))["signIn"]["session"]
        client.token = session["accessToken"]
        shown[name] = (await client.ask(PLACES))["viewer"] | (await client.ask(ME))["viewer"]
    powers = {
        name: who["surveyProfile"] and who["surveyProfile"]["powerOrientation"]
        for name, who in shown.items()
    }
    assert powers == {
        "alice": "TOP", "bob": "BOTTOM", "charlie": "SWITCH", "diana": "VERSATILE", "eve": None,
    }  # fmt: skip
    assert shown["alice"]["dailyLimit"]["limit"] is None
    assert (shown["bob"]["dailyLimit"]["used"], shown["bob"]["dailyLimit"]["remaining"]) == (20, 5)
    assert shown["diana"]["dailyLimit"]["upgradeRequired"]
    assert shown["eve"]["onboarding"]["nextStep"] == "DEMOGRAPHICS"
    games = {
        name: [node["session"] for node in who["playPlaces"]["nodes"]]
        for name, who in shown.items()
    }
    assert games["alice"] == games["bob"]
    assert [game["status"] for game in games["alice"]] == ["ACTIVE"]
    assert [game["status"] for game in games["charlie"]] == ["ENDED"]


async def test_the_documents_for_graphiql_work_from_the_top(
    attuned: Attuned, http: httpx.AsyncClient
) -> None:
    document = parse((ROOT / "examples/attuned.graphql").read_text())
    texts = {
        operation.name.value: print_ast(operation)
        for operation in document.definitions
        if isinstance(operation, OperationDefinitionNode) and operation.name
    }
    alice = Client(attuned.server.url, http)
    session = (await alice.ask(texts["SignIn"]))["signIn"]["session"]
    alice.token = session["accessToken"]
    home = (await alice.ask(texts["Home"]))["viewer"]
    assert home["partners"]["nodes"][0]["displayName"] == "Bob"
    game = home["playPlaces"]["nodes"][0]["session"]
    assert game["current"]
    async with alice.socket() as socket:
        await socket.subscribe("game", texts["Watch"], {"session": game["id"]})
        assert (await socket.next_data("game"))["playSession"]["version"] == game["version"]
        version = game["version"]
        for name in ("Complete", "Draw"):
            (payload,) = (
                await alice.ask(texts[name], {"session": game["id"], "version": version})
            ).values()
            assert payload["errors"] == []
            version = payload["playSession"]["version"]
            assert (await socket.next_data("game"))["playSession"]["version"] == version
    assert (await alice.ask(texts["Ask"]))["requestPartner"]["request"]["status"] == "PENDING"
    assert len((await alice.ask(texts["Survey"]))["surveys"][0]["items"]) == 75
