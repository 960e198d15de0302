"""Who somebody is and what they agreed to, through the API."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from ..attuned import load_surveys, onboard
from ..conftest import MakeUser
from .conftest import Ask

UPDATE = """mutation($input: UpdateDemographicsInput!) { answer: updateDemographics(input: $input) {
  demographics { name gender orientation relationship anatomySelf anatomyPreference }
  viewer { onboarding { canPlay } } errors { code path } } }"""
AGREE = """mutation($document: String!, $version: String!) {
  answer: recordConsent(input: {documentId: $document, version: $version}) {
    consent { id documentId version createdAt } viewer { onboarding { hasConsented nextStep } }
    errors { code path } } }"""
DOCUMENTS = "{ legalDocuments { documentId version isRequired isInForce body } }"
FIRST = {"name": " Ada ", "anatomySelf": ["VAGINA", "BREASTS"], "anatomyPreference": ["PENIS"]}


async def test_who_somebody_is_takes_a_name_and_anatomy_first(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    await onboard(owner, actor.user_id)
    await owner.execute("delete from demographics where user_id = $1", actor.user_id)

    async def update(**given: Any) -> Any:
        return (await ask(UPDATE, {"input": given}, actor=actor))["data"]["answer"]

    for missing in ("name", "anatomySelf", "anatomyPreference"):
        payload = await update(**{name: FIRST[name] for name in FIRST if name != missing})
        assert payload["errors"] == [{"code": "BAD_USER_INPUT", "path": ["input", missing]}]
        assert payload["viewer"]["onboarding"] == {"canPlay": False}
    payload = await update(**FIRST, gender="WOMAN")
    assert payload["viewer"]["onboarding"] == {"canPlay": True}
    assert payload["demographics"] == {
        "name": "Ada",
        "gender": "WOMAN",
        "orientation": "RATHER_NOT_SAY",
        "relationship": "RATHER_NOT_SAY",
        "anatomySelf": ["BREASTS", "VAGINA"],
        "anatomyPreference": ["PENIS"],
    }
    changed = await update(orientation="BISEXUAL", anatomyPreference=["PENIS", "PENIS", "VAGINA"])
    assert changed["demographics"] == payload["demographics"] | {
        "orientation": "BISEXUAL",
        "anatomyPreference": ["PENIS", "VAGINA"],
    }
    refused = await update(name="", anatomySelf=[], anatomyPreference=None)
    assert sorted(error["path"][-1] for error in refused["errors"]) == [
        "anatomyPreference", "anatomySelf", "name",
    ]  # fmt: skip


async def test_consent_is_to_a_version_and_the_first_time_counts(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    await load_surveys(owner)
    actor = await make_user()

    async def agree(document: str, version: str) -> Any:
        variables = {"document": document, "version": version}
        return (await ask(AGREE, variables, actor=actor))["data"]["answer"]

    everything = (await ask(DOCUMENTS))["data"]["legalDocuments"]
    required = [one for one in everything if one["isRequired"] and one["isInForce"]]
    assert {"terms", "privacy", "sensitive-data"} <= {one["documentId"] for one in required}
    assert all(one["body"].startswith("#") for one in required if one["documentId"] == "terms")
    for one in required[1:]:
        payload = await agree(one["documentId"], one["version"])
        assert payload["viewer"]["onboarding"]["hasConsented"] is False
    first = await agree(required[0]["documentId"], required[0]["version"])
    assert first["viewer"]["onboarding"] == {"hasConsented": True, "nextStep": "DEMOGRAPHICS"}
    again = await agree(required[0]["documentId"], required[0]["version"])
    assert again["consent"] == first["consent"]
    for document, version in (("terms", "nothing"), ("nothing", "2026-01")):
        payload = await agree(document, version)
        assert payload["errors"] == [{"code": "NOT_FOUND", "path": ["input", "version"]}]


async def test_the_version_in_force_is_the_newest_whose_time_has_come(
    ask: Ask, owner: asyncpg.Connection
) -> None:
    document = f"terms-{uuid4()}"
    await owner.execute(
        "insert into legal_documents (document_id, version, title, body, is_required, effective_at)"
        " select $1, v, 't', 'b', false, now() + make_interval(days => d)"
        " from (values ('1', -20), ('2', -10), ('3', 10)) g (v, d)",
        document,
    )
    found = (await ask(DOCUMENTS))["data"]["legalDocuments"]
    in_force = [
        one["version"] for one in found if one["documentId"] == document and one["isInForce"]
    ]
    assert in_force == ["2"]


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "A\u202eda", "A\nda", "\u200b"])
async def test_a_name_is_one_line_that_can_be_seen(
    ask: Ask, make_user: MakeUser, name: str
) -> None:
    given = FIRST | {"name": name}
    payload = (await ask(UPDATE, {"input": given}, actor=await make_user()))["data"]["answer"]
    assert payload["errors"] == [{"code": "BAD_USER_INPUT", "path": ["input", "name"]}]


@pytest.mark.parametrize("call", [UPDATE, AGREE])
async def test_nobody_is_asked_to_sign_in(ask: Ask, call: str) -> None:
    variables = {"input": FIRST, "document": "terms", "version": "2026-01"}
    answer = await ask(call, variables)
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
