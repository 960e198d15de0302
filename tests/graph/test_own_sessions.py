"""People see where they are signed in, and end what is not theirs any more."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from auth.last_seen import LastSeen
from auth.sessions import SignedIn
from db.core.errors import DomainError
from server.services import Services

from .conftest import Ask

PASSWORD = "correct horse battery"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"
SESSIONS = """{ viewer { sessions { nodes {
  id deviceName userAgent address createdAt lastSeenAt expiresAt isCurrent } } } }"""
REVOKE = """mutation($id: ID!) { answer: revokeSession(input: {id: $id}) {
  session { id revokedAt isCurrent } viewer { id } errors { code } } }"""
ALL = "mutation { answer: signOutEverywhere { sessionsEnded viewer { id } errors { code } } }"
OTHERS = """mutation { answer: signOutEverywhere(input: {keepCurrent: true}) {
  sessionsEnded viewer { id } errors { code } } }"""


@pytest.fixture
async def own(services: Services) -> list[SignedIn]:
    """Three sessions of one person; the first is the one that signed up."""
    email, accounts = f"{uuid4()}@example.test", services.accounts
    first = await accounts.sign_up(email, PASSWORD, network="203.0.113.7", user_agent=FIREFOX)
    return [first, *[await accounts.sign_in(email, PASSWORD) for _ in range(2)]]


def alive(services: Services, *sessions: SignedIn) -> list[bool]:
    """Which of the sessions' tokens are good in this process."""

    def is_good(session: SignedIn) -> bool:
        try:
            services.tokens.verify(session.access_token)
        except DomainError:
            return False
        return True

    return [is_good(session) for session in sessions]


async def listed(ask: Ask, session: SignedIn) -> list[dict[str, Any]]:
    answer = await ask(SESSIONS, actor=session.actor)
    nodes: list[dict[str, Any]] = answer["data"]["viewer"]["sessions"]["nodes"]
    return nodes


async def test_sessions_are_listed_with_what_tells_them_apart(
    ask: Ask, own: list[SignedIn]
) -> None:
    for session in own:
        nodes = await listed(ask, session)
        assert [UUID(node["id"].removeprefix("session_")) for node in nodes] == [
            one.session_id for one in reversed(own)
        ]
        current = [node["id"] for node in nodes if node["isCurrent"]]
        assert current == [f"session_{session.session_id}"]
    first = nodes[-1]
    assert (first["deviceName"], first["userAgent"]) == ("Firefox on Linux", FIREFOX)
    assert first["address"] == "203.0.113.0/24"
    assert (nodes[0]["deviceName"], nodes[0]["address"]) == (None, None)


async def test_the_current_session_is_told_apart_in_any_document(
    ask: Ask, own: list[SignedIn]
) -> None:
    with_variable = """query($n: Int) { viewer { sessions(first: $n) { nodes { isCurrent } } } }"""
    with_fault = (
        "{ viewer { sessions { nodes { isCurrent } } notifications(first: 0) { nodes { id } } } }"
    )
    for session in own:
        node_id = f"session_{session.session_id}"
        asked = await ask(with_variable, {"n": 3}, actor=session.actor)
        shown = [node["isCurrent"] for node in asked["data"]["viewer"]["sessions"]["nodes"]]
        assert shown == [one is session for one in reversed(own)]
        looked = f'{{ node(id: "{node_id}") {{ ... on Session {{ isCurrent }} }} }}'
        assert (await ask(looked, actor=session.actor))["data"]["node"] == {"isCurrent": True}
    faulty = await ask(with_fault, actor=own[0].actor)
    assert faulty["errors"]
    revoked = await ask(REVOKE, {"id": node_id}, actor=own[0].actor)
    assert revoked["data"]["answer"]["session"]["isCurrent"] is False


async def test_one_session_is_ended_and_stays_ended(
    ask: Ask, own: list[SignedIn], services: Services, owner: asyncpg.Connection
) -> None:
    first, second, third = own
    wanted = {"id": f"session_{second.session_id}"}
    ended = (await ask(REVOKE, wanted, actor=first.actor))["data"]["answer"]
    assert ended["errors"] == []
    assert ended["session"]["revokedAt"]
    assert alive(services, *own) == [True, False, True]
    assert (await ask(REVOKE, wanted, actor=first.actor))["data"]["answer"] == ended
    assert len(await listed(ask, third)) == 2
    action = "select detail from audit_log where user_id = $1 and action = 'revoke_session'"
    (noted,) = await owner.fetch(action, first.user_id)
    assert str(second.session_id) in str(noted["detail"])
    reason = "select revoked_reason from sessions where id = $1"
    assert await owner.fetchval(reason, second.session_id) == "revoked_by_user"


async def test_another_persons_session_is_no_session(
    ask: Ask, own: list[SignedIn], services: Services
) -> None:
    stranger = await services.accounts.sign_up(f"{uuid4()}@example.test", PASSWORD)
    for wanted in (f"session_{own[0].session_id}", f"session_{uuid4()}", "user_1"):
        answer = await ask(REVOKE, {"id": wanted}, actor=stranger.actor)
        assert answer["data"]["answer"]["errors"] == [{"code": "NOT_FOUND"}]
    assert alive(services, *own) == [True] * 3


@pytest.mark.parametrize(("text", "kept"), [(ALL, 0), (OTHERS, 1)])
async def test_signing_out_everywhere(
    ask: Ask, own: list[SignedIn], services: Services, text: str, kept: int
) -> None:
    answer = (await ask(text, actor=own[0].actor))["data"]["answer"]
    viewer = {"id": f"user_{own[0].user_id}"} if kept else None
    assert answer == {"sessionsEnded": 3 - kept, "viewer": viewer, "errors": []}
    assert alive(services, *own) == [bool(kept), False, False]
    for session in own[kept:]:
        with pytest.raises(DomainError):
            await services.accounts.refresh(session.refresh_token)
    if kept:
        again = (await ask(text, actor=own[0].actor))["data"]["answer"]
        assert again["sessionsEnded"] == 0


async def test_a_session_is_seen_beside_its_requests_and_where_it_is_refreshed(
    ask: Ask, own: list[SignedIn], services: Services, owner: asyncpg.Connection
) -> None:
    first = own[0]
    await owner.execute(
        "update sessions set last_used_at = now() - interval '1 day' where user_id = $1",
        first.user_id,
    )
    services.tokens.verify(first.access_token)
    before = {node["id"]: node["lastSeenAt"] for node in await listed(ask, first)}
    await services.of(LastSeen.of).write()
    after = {node["id"]: node["lastSeenAt"] for node in await listed(ask, first)}
    changed = [key for key in before if before[key] != after[key]]
    assert changed == [f"session_{first.session_id}"]
    await services.accounts.refresh(first.refresh_token, network="2001:db8:9:8::")
    assert (await listed(ask, first))[-1]["address"] == "2001:db8:9::/48"
