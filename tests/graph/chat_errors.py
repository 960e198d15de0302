"""What provokes each error of chats and analyses, for the tests of all errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from graph.shared.switches import SwitchWatch

Given = Callable[[str, str], str]
RUNS = """
insert into ai_runs (id, user_id, feature, max_output_tokens, context_tokens, tokens)
select gen_random_uuid(), $1, $2, 500, 1000, $4 from generate_series(1, $3::integer)
"""


def said(profile: str, key: str = "k") -> str:
    return f'{{profileId: "{profile}", text: "Who?", idempotencyKey: "{key}"}}'


def analysed(profile: str, key: str = "k") -> str:
    return f'{{profileId: "{profile}", idempotencyKey: "{key}"}}'


async def profile(stage: Any) -> str:
    """The global id of a new profile of the user's."""
    made: UUID = await stage.owner.fetchval(
        "insert into profiles (user_id, analysis) values ($1, '{}') returning id",
        stage.actor.user_id,
    )
    return f"profile_{made}"


def with_runs(given: Given, feature: str, count: int, tokens: int) -> Any:
    """The input after so many runs of the user's that have not ended."""

    async def provoke(stage: Any) -> str:
        await stage.owner.execute(RUNS, stage.actor.user_id, feature, count, tokens)
        return given(await profile(stage), "k")

    return provoke


def under_way(mutation: str, given: Given) -> Any:
    """The input for a profile about which the same was asked already."""

    async def provoke(stage: Any) -> str:
        wanted = await profile(stage)
        assert await stage.codes(mutation, given(wanted, "first")) == []
        return given(wanted, "second")

    return provoke


def used_key(mutation: str, given: Given) -> Any:
    async def provoke(stage: Any) -> str:
        assert await stage.codes(mutation, given(await profile(stage), "k")) == []
        return given(await profile(stage), "k")

    return provoke


def poor(given: Given) -> Any:
    async def provoke(stage: Any) -> str:
        assert await stage.codes("spendCredits", '{amount: 10, idempotencyKey: "all"}') == []
        return given(await profile(stage), "k")

    return provoke


def full(given: Given, slice_name: str) -> Any:
    async def provoke(stage: Any) -> str:
        wanted = await profile(stage)
        await stage.uses(slice_name, 10**9, 0)
        return given(wanted, "k")

    return provoke


def switched_off(given: Given) -> Any:
    async def provoke(stage: Any) -> str:
        watch = stage.services.of(SwitchWatch.of)
        watch.state = replace(watch.state, ai_enabled=False)
        return given(NOBODYS, "k")

    return provoke


NOBODYS = f"profile_{UUID(int=1)}"
Provoked = dict[str, str | Callable[[Any], Awaitable[str]]]


def provoked(mutation: str, given: Given, feature: str, slice_name: str) -> Provoked:
    return {
        "NOT_FOUND": given(NOBODYS, "k"),
        "AI_DISABLED": switched_off(given),
        "INVALID_STATE": under_way(mutation, given),
        "LIMIT_EXCEEDED": with_runs(given, feature, 3, 0),
        "QUOTA_EXCEEDED": full(given, slice_name),
        "INSUFFICIENT_CREDITS": poor(given),
        "DAILY_LIMIT_REACHED": with_runs(given, feature, 1, 10_000_000),
        "IDEMPOTENCY_CONFLICT": used_key(mutation, given),
    }


PROVOKED: dict[str, Provoked] = {
    "sendChatMessage": {
        "BAD_USER_INPUT": f'{{profileId: "{NOBODYS}", text: " ", idempotencyKey: "k"}}',
        **provoked("sendChatMessage", said, "CHAT", "chat_messages"),
    },
    "cancelChatReply": {
        "NOT_FOUND": f'{{id: "chatMessage_{UUID(int=1)}"}}',
    },
    "analyzeProfile": {
        "BAD_USER_INPUT": f'{{profileId: "{NOBODYS}", idempotencyKey: ""}}',
        **provoked("analyzeProfile", analysed, "ANALYSIS", "profile_analyses"),
    },
}
