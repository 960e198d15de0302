"""Attuned end to end, as FlutterFlow calls it: plain POSTs, and values out of the answer by their paths."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.attuned import SURVEY, short_answers
from tests.running import RunningServer, run_command, running_server

from .client import Client

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
MERGE = """mutation($token: String!) { mergeAnonymousAccount(input: {anonymousRefreshToken: $token}) {
  errors { code } } }"""


@dataclass
class Attuned:
    """The product as its clients meet it."""

    server: RunningServer


@pytest.fixture(scope="module")
def attuned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attuned]:
    """A deployment with the survey, the documents and the texts."""
    with running_server(tmp_path_factory.mktemp("attuned") / "data") as server:
        done = run_command(server.data_directory, "seed", "attuned")
        assert done.returncode == 0, done.stdout + done.stderr
        yield Attuned(server)


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
    merged = await member.ask(MERGE, {"token": session["refreshToken"]})
    assert merged["mergeAnonymousAccount"]["errors"] == []
    me = (await member.ask(ME))["viewer"]
    assert (me["onboarding"]["nextStep"], me["surveyProfile"]["version"]) == ("DONE", 1)
    assert {"itemId": "breath", "kind": "HARD"} in me["surveyProfile"]["boundaries"]
