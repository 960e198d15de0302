"""A timestamp stays what it is from the request to the row and back, at the ends of time as well."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLNamedType, get_named_type

from db.core.actor import Actor
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask
from .test_wrong_shapes import PLACES, Place, answer_of

FIRST, LAST = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"
# As clients write it, and as it is read.
TAKEN = {
    "9999-12-31T23:59:59.9999999Z": LAST,
    "9999-12-31T23:59:59.999998Z": "9999-12-31T23:59:59.999998Z",
    "9999-12-31T23:59:59.999999-00:00": LAST,
    "0001-01-01T00:00:00Z": FIRST,
    "0001-01-01T14:00:00+14:00": FIRST,
    "0001-01-01T00:00:00.000001Z": "0001-01-01T00:00:00.000001Z",
    "2024-02-29T23:59:59.5-12:00": "2024-03-01T11:59:59.500000Z",
    "2000-02-29T00:00:00+14:00": "2000-02-28T10:00:00.000000Z",
    "1969-12-31T23:59:59.999999Z": "1969-12-31T23:59:59.999999Z",
    "1999-12-31T23:59:59.999999Z": "1999-12-31T23:59:59.999999Z",
    "2026-01-31t12:00:00z": "2026-01-31T12:00:00.000000Z",
    "2026-01-31 12:00:00.5z": "2026-01-31T12:00:00.500000Z",
}
REFUSED = {
    "0001-01-01T00:00:00+14:00": "outside of the years 1 to 9999",
    "9999-12-31T23:59:59-12:00": "outside of the years 1 to 9999",
    "2023-02-29T00:00:00Z": "no calendar has",
    "1900-02-29T00:00:00Z": "no calendar has",
    "2016-12-31T23:59:60Z": "leap seconds",
    "10000-01-01T00:00:00Z": "ISO 8601",
    "2026-01-31T12:00:00": "needs its offset",
    "2026-01-31": "needs its offset",
    "2026-01-31z": "ISO 8601",
    "z": "ISO 8601",
    "infinity": "ISO 8601",
    "-infinity": "ISO 8601",
    "epoch": "ISO 8601",
    "now": "ISO 8601",
    "": "ISO 8601",
}
CREATE = """mutation($at: DateTime) {
  createProfile(input: {analysis: {}, createdAt: $at, updatedAt: $at}) {
    profile { id createdAt updatedAt } errors { code message } } }"""
LIST = """query($after: Cursor, $where: ProfileWhere) { viewer {
  profiles(first: 1, after: $after, where: $where) {
    nodes { id createdAt } pageInfo { endCursor hasNextPage } } } }"""


async def created(ask: Ask, actor: Actor, at: str) -> dict[str, Any]:
    answer = await ask(CREATE, {"at": at}, actor=actor)
    profile: dict[str, Any] = answer["data"]["createProfile"]["profile"]
    assert profile, answer
    return profile


async def test_each_is_stored_as_it_was_meant(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    for given, meant in TAKEN.items():
        profile = await created(ask, actor, given)
        assert (profile["createdAt"], profile["updatedAt"]) == (meant, meant), given


async def test_pages_pass_each_row_once(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    ids = {(await created(ask, actor, given))["id"] for given in TAKEN}
    seen: list[str] = []
    after: str | None = None
    while len(seen) <= len(ids):
        page = (await ask(LIST, {"after": after}, actor=actor))["data"]["viewer"]["profiles"]
        seen += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == len(ids)
    assert set(seen) == ids


async def test_filters_find_the_row_itself(ask: Ask, make_user: MakeUser) -> None:
    for given in TAKEN:
        actor = await make_user()
        profile = await created(ask, actor, given)
        for operator, is_found in (
            ("eq", True), ("gte", True), ("lte", True), ("lt", False), ("gt", False),
        ):  # fmt: skip
            where = {"createdAt": {operator: given}}
            page = (await ask(LIST, {"where": where}, actor=actor))["data"]["viewer"]["profiles"]
            expected = [profile["id"]] if is_found else []
            assert [node["id"] for node in page["nodes"]] == expected, (given, operator)


USAGE = """query($from: DateTime, $to: DateTime) {
  creditUsage(by: DAY, from: $from, to: $to) { day } }"""


@pytest.mark.parametrize(
    ("begins", "ends", "days"),
    [
        ("9999-12-31T00:00:00Z", LAST, ["9999-12-31T00:00:00.000000Z"]),
        (FIRST, "0001-01-01T00:00:00.000001Z", [FIRST]),
        ("2024-02-28T12:00:00Z", "2024-03-01T00:00:00Z", ["2024-02-28T00:00:00.000000Z", "2024-02-29T00:00:00.000000Z"]),
        (None, FIRST, None),
        (LAST, None, None),
        (FIRST, LAST, None),
    ],
)  # fmt: skip
async def test_usage_has_the_days_of_its_period(
    ask: Ask, make_user: MakeUser, begins: str | None, ends: str | None, days: list[str] | None
) -> None:
    answer = await ask(USAGE, {"from": begins, "to": ends}, actor=await make_user())
    if days is None:
        assert answer["errors"][0]["extensions"]["code"] in {"BAD_USER_INPUT", "LIMIT_EXCEEDED"}
    else:
        assert [row["day"] for row in answer["data"]["creditUsage"]] == days


async def test_a_series_of_days_ends_even_where_nobody_checks_its_period(
    owner: Any, make_user: MakeUser
) -> None:
    actor = await make_user()
    count = "select count(*) from app.credit_usage($1, 'DAY', $2::text::timestamptz, $3::text::timestamptz)"
    period = await owner.fetchval(
        count, actor.user_id, "2000-01-01T00:00:00Z", "2400-01-01T00:00:00Z"
    )
    assert period == 367
    for begins, ends in (("2026-01-01", "infinity"), ("-infinity", "2026-01-01")):
        assert await owner.fetchval(count, actor.user_id, begins, ends) == 0


def timestamp_places() -> list[Place]:
    def is_timestamp(named: GraphQLNamedType) -> bool:
        return named.name == "DateTime"

    found = [place for place in PLACES if is_timestamp(get_named_type(place.here))]
    assert len(found) > 6
    return found


@pytest.mark.parametrize("place", timestamp_places(), ids=lambda place: place.name)
async def test_every_timestamp_that_a_client_gives_is_taken_or_refused_by_its_place(
    engine: Engine, services: Services, make_user: MakeUser, place: Place
) -> None:
    context = Context(await make_user(), services, "test")
    text = place.document("$v", variable=True)
    for given in TAKEN:
        for error in await answer_of(engine, context, text, {"v": place.whole(given)}):
            code = error.get("code") or error["extensions"]["code"]
            assert code in {"BAD_USER_INPUT", "LIMIT_EXCEEDED", "NOT_FOUND", "FORBIDDEN"}, (
                given,
                error,
            )
            assert given == "" or given not in error["message"], error
    for given, sentence in REFUSED.items():
        errors = await answer_of(engine, context, text, {"v": place.whole(given)})
        assert errors, (place.name, given)
        assert errors[0]["extensions"]["code"] == "BAD_USER_INPUT", (given, errors)
        assert sentence in errors[0]["message"], (given, errors)
        assert errors[0]["extensions"]["path"][0] == "v"
