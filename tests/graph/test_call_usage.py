"""What calls came to: summed by day of a time zone, by workflow and by campaign, for members alone."""

from __future__ import annotations

from typing import Any

import asyncpg

from ..conftest import MakeUser
from ..workflows import active_workflow, found_organization
from .conftest import Ask

USAGE = """query($o: ID!, $by: CallUsageGrouping!, $from: DateTime, $to: DateTime, $zone: String! = "UTC") {
  callUsage(organizationId: $o, by: $by, from: $from, to: $to, timeZone: $zone) {
    day workflow { id } campaign { id }
    calls completed voicemail busy noAnswer failed durationSeconds costCents } }"""
# When, its end, seconds, millionths of a dollar; one is never dialled.
CALLS = (
    ("2026-03-01 10:00Z", "COMPLETED", 60, 13_800),
    ("2026-03-01 23:30Z", "BUSY", 0, 0),
    ("2026-03-03 12:00Z", "VOICEMAIL", 20, 4_600),
    ("2026-03-03 13:00Z", "NO_ANSWER", 0, None),
    ("2026-03-03 14:00Z", "FAILED", 0, 0),
)
ADD = """
insert into workflow_runs (organization_id, workflow_id, version_id, phone_number, status, created_at,
    dialled_at, ended_at, duration_seconds, cost_micro_usd)
select $1, v.workflow_id, v.id, '+4930901820', 'QUEUED', $3::text::timestamptz, null, null, 0, null
from workflow_versions v where v.workflow_id = $2 returning id
"""
END = """
update workflow_runs set status = $2, dialled_at = created_at, ended_at = created_at, duration_seconds = $3,
    cost_micro_usd = $4 where id = $1
"""


async def test_calls_are_summed_for_members(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor, stranger = await make_user(), await make_user()
    organization = await found_organization(owner, actor)
    first, second = [await active_workflow(owner, organization) for _ in range(2)]
    for n, (at, *end) in enumerate(CALLS):
        run = await owner.fetchval(ADD, organization, first if n else second, at)
        await owner.execute("update workflow_runs set status = 'DIALLING' where id = $1", run)
        await owner.execute(END, run, *end)
    await owner.fetchval(ADD, organization, first, "2026-03-03 15:00Z")
    period = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-04T00:00:00Z"}

    async def rows(by: str, who: Any = actor, **more: Any) -> Any:
        given = {"o": f"organization_{organization}", "by": by, **period, **more}
        return (await ask(USAGE, given, actor=who))["data"]["callUsage"]

    days = await rows("DAY")
    assert [row["calls"] for row in days] == [2, 0, 3]
    ends = ("completed", "voicemail", "busy", "noAnswer", "failed", "durationSeconds", "costCents")
    assert [days[2][name] for name in ends] == [0, 1, 0, 1, 1, 20, 0]
    assert [days[0][name] for name in ends] == [1, 0, 1, 0, 0, 60, 1]
    # Days are those of a place: 23:30 UTC is the next day in Berlin.
    berlin = await rows("DAY", zone="Europe/Berlin")
    assert [row["calls"] for row in berlin] == [1, 1, 3, 0]
    by_workflow = await rows("WORKFLOW")
    assert [(row["workflow"]["id"], row["calls"]) for row in by_workflow] == [
        (f"workflow_{first}", 4),
        (f"workflow_{second}", 1),
    ]
    (by_campaign,) = await rows("CAMPAIGN")
    assert (by_campaign["campaign"], by_campaign["calls"]) == (None, 5)
    for by in ("DAY", "WORKFLOW", "CAMPAIGN"):
        assert await rows(by, stranger) == []


async def test_what_is_wrong_with_the_question_is_told(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    good = {"o": "organization_01a1fd47-0000-7000-8000-000000000000", "by": "DAY"}
    for wrong, code in (
        ({"o": "organization_nope"}, "NOT_FOUND"),
        ({"zone": "Mars"}, "BAD_USER_INPUT"),
        ({"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "BAD_USER_INPUT"),
        ({"from": "2025-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "LIMIT_EXCEEDED"),
    ):
        (error,) = (await ask(USAGE, good | wrong, actor=actor))["errors"]
        assert error["extensions"]["code"] == code, wrong
