"""What partners are shown when they connect, and what becomes of requests that cross a decline or a block."""

from __future__ import annotations

import pytest

from .test_partners import CALLS, REQUEST, Two, email, two

__all__ = ["two"]

CALLS |= {
    "requestSharing": f"""mutation($e: String!, $level: SharingLevel) {{
      answer: requestPartner(input: {{email: $e, sharing: $level}}) {{ {REQUEST} }} }}""",
    "acceptSharing": f"""mutation($id: ID!, $level: SharingLevel) {{
      answer: acceptPartner(input: {{requestId: $id, sharing: $level}}) {{ {REQUEST} }} }}""",
    "default": """mutation($level: SharingLevel!) {
      answer: setDefaultSharing(input: {level: $level}) {
        viewer { ... on User { defaultSharing } } errors { code } } }""",
    "unblock": """mutation($id: ID!) {
      answer: unblockPartner(input: {blockId: $id}) { errors { code } } }""",
    "blocks": "{ answer: viewer { blockedPartners { nodes { id } } } }",
}
NOTES = "select count(*) from notifications where user_id = $1"


async def connect(two: Two, asked: str | None = None, answered: str | None = None) -> list[str]:
    """Connects the two, each with a level or none; what each shows."""
    request = (await two("requestSharing", two.ada, e=email(two.bob), level=asked))["request"]
    await two.deliver(request)
    answer = await two("acceptSharing", two.bob, id=request["id"], level=answered)
    assert answer["errors"] == []
    return await shown(two)


async def shown(two: Two) -> list[str]:
    """What Ada shows, and what Bob does; each sees what the other shows."""
    levels = []
    for actor in (two.ada, two.bob):
        (partner,) = (await two("see", actor))["partners"]["nodes"]
        levels.append((partner["sharing"], partner["shared"]))
    assert levels[0] == levels[1][::-1]
    return list(levels[0])


@pytest.mark.parametrize(
    ("default", "before", "asked", "expected"),
    [
        # Nothing chosen, a default, and a choice for this partner.
        (None, None, None, "OVERLAPPING"),
        ("DEMOGRAPHICS", None, None, "DEMOGRAPHICS"),
        ("ALL", None, None, "ALL"),
        (None, None, "ALL", "ALL"),
        ("ALL", None, "DEMOGRAPHICS", "DEMOGRAPHICS"),
        # Who was removed is shown no more than before, and than a new partner.
        (None, "DEMOGRAPHICS", None, "DEMOGRAPHICS"),
        ("ALL", "DEMOGRAPHICS", None, "DEMOGRAPHICS"),
        ("DEMOGRAPHICS", "ALL", None, "DEMOGRAPHICS"),
        # Everything takes a choice anew.
        ("ALL", "ALL", None, "OVERLAPPING"),
        (None, "DEMOGRAPHICS", "ALL", "ALL"),
    ],
)  # fmt: skip
async def test_what_a_partner_is_shown_at_first(
    two: Two, default: str | None, before: str | None, asked: str | None, expected: str
) -> None:
    if before is not None:
        of_bob, _ = await two.connected()
        await two("share", two.ada, id=of_bob, level=before)
        assert await two.codes("remove", two.ada, id=of_bob) == []
    if default is not None:
        answer = await two("default", two.ada, level=default)
        assert answer == {"viewer": {"defaultSharing": default}, "errors": []}
    assert await connect(two, asked) == [expected, "OVERLAPPING"]


async def test_both_choose_when_they_connect_and_the_last_choice_of_a_request_counts(
    two: Two,
) -> None:
    first = await two("requestSharing", two.ada, e=email(two.bob), level="ALL")
    again = await two("requestSharing", two.ada, e=email(two.bob), level="DEMOGRAPHICS")
    assert again["request"]["id"] == first["request"]["id"]
    # Asking whoever has asked accepts, with what each of them chose.
    accepted = await two("requestSharing", two.bob, e=email(two.ada), level="ALL")
    assert accepted["request"]["status"] == "ACCEPTED"
    assert await shown(two) == ["DEMOGRAPHICS", "ALL"]


async def test_who_is_dropped_from_a_list_is_shown_no_more_when_they_are_back(two: Two) -> None:
    of_bob, of_ada = await two.connected()
    await two("share", two.ada, id=of_bob, level="DEMOGRAPHICS")
    await two("share", two.bob, id=of_ada, level="DEMOGRAPHICS")
    await two.owner.execute(
        "update partners set last_used_at = now() - interval '1 day' where user_id = $1",
        two.ada.user_id,
    )
    await two.owner.execute(
        "with made as (insert into users (email, email_key) select k, k from"
        " (select gen_random_uuid() || '@more.test' from generate_series(1, 10)) n(k) returning id)"
        " select app.connect_partners($1, id) from made",
        two.ada.user_id,
    )
    await two.owner.execute("delete from partners where partner_id <> $1 and user_id = $2",
                            two.bob.user_id, two.ada.user_id)  # fmt: skip
    assert await connect(two) == ["DEMOGRAPHICS", "DEMOGRAPHICS"]


async def test_a_hundred_levels_are_remembered_beside_the_default(two: Two) -> None:
    await two("default", two.ada, level="ALL")
    await two.owner.execute(
        "with made as (insert into users (email, email_key) select k, k from"
        " (select gen_random_uuid() || '@more.test' from generate_series(1, 102)) n(k) returning id)"
        " select app.remember_level($1, id, 'ALL') from made",
        two.ada.user_id,
    )
    kept = "select count(*), count(partner_id) from sharing_choices where user_id = $1"
    assert tuple(await two.owner.fetchrow(kept, two.ada.user_id)) == (101, 100)


async def test_guests_have_no_partners_and_choose_nothing(two: Two) -> None:
    await two.owner.execute(
        "update users set is_anonymous = true, email = null, email_key = null where id = $1",
        two.ada.user_id,
    )
    answer = await two.ask(CALLS["default"], {"level": "ALL"}, actor=two.ada)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_after_a_decline_a_request_reaches_nobody_for_an_hour_and_says_nothing(
    two: Two,
) -> None:
    declined = await two.requested(two.ada, two.bob)
    await two("decline", two.bob, id=declined["id"])
    told = await two.owner.fetchval(NOTES, two.bob.user_id)
    mailed = "select count(*) from emails where template = 'partner_request'"
    mails = await two.owner.fetchval(mailed)
    again = await two.requested(two.ada, two.bob)
    assert (again["status"], again["isExpired"]) == ("PENDING", False)
    received = (await two("see", two.bob))["partnerRequests"]["nodes"]
    assert [one["id"] for one in received] == [declined["id"]]
    assert await two.owner.fetchval(NOTES, two.bob.user_id) == told
    assert await two.owner.fetchval(mailed) == mails
    # Who declined may change their mind: asking back accepts.
    assert (await two("request", two.bob, e=email(two.ada)))["request"]["status"] == "ACCEPTED"


async def test_an_hour_after_a_decline_a_request_is_brought_again(two: Two) -> None:
    declined = await two.requested(two.ada, two.bob)
    await two("decline", two.bob, id=declined["id"])
    await two.owner.execute(
        "update partner_requests set created_at = created_at - interval '61 minutes',"
        " ended_at = ended_at - interval '61 minutes' where requester_id = $1",
        two.ada.user_id,
    )
    again = await two.requested(two.ada, two.bob)
    received = (await two("see", two.bob))["partnerRequests"]["nodes"]
    assert [one["id"] for one in received] == [again["id"], declined["id"]]


async def test_a_silenced_request_is_brought_when_it_is_made_again_after_an_unblock(
    two: Two,
) -> None:
    _, of_ada = await two.connected()
    await two("block", two.bob, id=of_ada)
    silenced = await two.requested(two.ada, two.bob)
    (block,) = (await two("blocks", two.bob))["blockedPartners"]["nodes"]
    assert await two.codes("unblock", two.bob, id=block["id"]) == []
    again = await two.requested(two.ada, two.bob)
    assert again["id"] == silenced["id"]
    received = (await two("see", two.bob))["partnerRequests"]["nodes"]
    assert silenced["id"] in [one["id"] for one in received]


@pytest.mark.parametrize("race", ["accept", "cancel", "expire"])
async def test_declining_with_a_block_blocks_whatever_another_device_has_done(
    two: Two, race: str
) -> None:
    request = await two.requested(two.ada, two.bob)
    if race == "expire":
        await two.owner.execute("update partner_requests set expires_at = clock_timestamp()")
    else:
        actor = two.bob if race == "accept" else two.ada
        assert await two.codes(race, actor, id=request["id"]) == []
    assert await two.codes("declineAndBlock", two.bob, id=request["id"]) == []
    assert len((await two("blocks", two.bob))["blockedPartners"]["nodes"]) == 1
    assert (await two("see", two.bob))["partners"]["nodes"] == []
    if race == "accept":
        (partner,) = (await two("see", two.ada))["partners"]["nodes"]
        assert partner["status"] == "DISCONNECTED"
    # A stranger's request is nobody else's to block by.
    assert await two.codes("declineAndBlock", two.ada, id=request["id"]) == ["NOT_FOUND"]


async def test_a_request_that_is_pending_when_somebody_returns_is_accepted_along(two: Two) -> None:
    _, of_ada = await two.connected()
    await two.owner.execute("select app.pause_partners($1)", two.ada.user_id)
    pending = (await two("reconnect", two.bob, id=of_ada))["request"]
    await two.deliver(pending)
    await two.owner.execute("select app.resume_partners($1)", two.ada.user_id)
    assert await shown(two) == ["OVERLAPPING", "OVERLAPPING"]
    sent = (await two("see", two.bob))["sentPartnerRequests"]["nodes"]
    assert [one["status"] for one in sent] == ["ACCEPTED"]
