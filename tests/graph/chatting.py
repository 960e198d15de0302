"""People who chat about a profile, and the runs that reply to them, for tests of chats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from db.core.actor import Actor
from db.files.storage import open_storage
from jobs.ai import AiRunUnderWay
from jobs.core.declare import RetryLater, WorkerServices
from jobs.providers.base import Providers
from jobs.providers.offline import OfflineProvider
from server.services import Services
from settings import Settings

from .conftest import Ask

MESSAGE = """message { id status text role creditsCharged madeOffline error { code message }
  question { text role } } errors { code message path }"""
CALLS = {
    "send": f"""mutation($profile: ID!, $text: String!, $key: String!) {{ answer: sendChatMessage(
      input: {{profileId: $profile, text: $text, idempotencyKey: $key}}) {{ {MESSAGE} }} }}""",
    "cancel": f"""mutation($id: ID!) {{ answer: cancelChatReply(input: {{id: $id}}) {{ {MESSAGE} }} }}""",
    "analyze": """mutation($profile: ID!, $key: String!) { answer: analyzeProfile(
      input: {profileId: $profile, idempotencyKey: $key}) {
      analysis { id status result creditsCharged error { code } } errors { code message path } } }""",
    "profile": """mutation($analysis: JSON!) { answer: createProfile(input: {name: "Kim", analysis: $analysis}) {
      profile { id } errors { code } } }""",
}
WATCH = """subscription { chatReply(messageId: "%s") { cursor delta
  message { id status text creditsCharged } } }"""
ANALYSIS = {
    "overall_analysis": {
        "summary": "A climber who reads.",
        "red_flags": ["Answers late at night only"],
        "green_flags": ["Asks questions back"],
    },
    "recommended_openers": [
        {"message": "Which wall do you like best?", "why_it_works": "They climb."}
    ],
}


def key(global_id: str) -> UUID:
    return UUID(global_id.split("_")[1])


@dataclass
class Chat:
    """Asks as somebody who chats, and works as a worker does."""

    ask: Ask
    owner: asyncpg.Connection
    services: Services
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.work_as(self.settings)

    def work_as(self, settings: Settings) -> WorkerServices:
        """Has the runs made by a new worker with these settings."""
        self.worker = WorkerServices(
            self.services.database,
            open_storage(settings),
            Providers(OfflineProvider()),
            self.services.wake,
            settings,
        )
        return self.worker

    async def __call__(self, call: str, actor: Actor, /, **variables: Any) -> Any:
        """The answer of a call, or its top-level error's code."""
        answer = await self.ask(CALLS[call], variables, actor=actor)
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        return answer["data"]["answer"]

    async def profile(self, actor: Actor, analysis: dict[str, Any] = ANALYSIS) -> str:
        """The global id of a new profile of theirs."""
        return str((await self("profile", actor, analysis=analysis))["profile"]["id"])

    async def sent(self, actor: Actor, text: str = "Any red flags?", profile: str = "") -> str:
        """The global id of the reply to a message, about a new profile unless one is named."""
        profile = profile or await self.profile(actor)
        answer = await self("send", actor, profile=profile, text=text, key=str(uuid4()))
        assert answer["errors"] == []
        assert answer["message"]["status"] == "QUEUED"
        return str(answer["message"]["id"])

    async def run(self, reply: str) -> None:
        """Makes one attempt at a reply or an analysis; `RetryLater` when another is due."""
        await AiRunUnderWay(self.worker, key(reply)).run()

    async def run_to_the_end(self, reply: str) -> None:
        """Makes attempts as a worker does, without its pauses."""
        while True:
            try:
                return await self.run(reply)
            except RetryLater:
                continue

    async def row(self, reply: str) -> asyncpg.Record:
        """The message with its run and its hold."""
        return await self.owner.fetchrow(
            "select m.*, r.status as run_status, r.attempts, r.tokens, h.status as hold_status,"
            " (select count(*) from chat_chunks c where c.message_id = m.id) as chunks"
            " from chat_messages m join ai_runs r using (id)"
            " left join credit_holds h on h.id = r.hold_id where m.id = $1",
            key(reply),
        )

    async def wallet(self, actor: Actor) -> tuple[int, int]:
        """Balance and held credits."""
        row = await self.owner.fetchrow(
            "select balance, held from wallets where user_id = $1", actor.user_id
        )
        return row["balance"], row["held"]

    async def outcomes(self, reply: str) -> list[str]:
        """How the attempts at a run ended, in their order."""
        rows = await self.owner.fetch(
            "select outcome from ai_request_logs where run_id = $1 order by attempt", key(reply)
        )
        return [row["outcome"] for row in rows]


def codes(answer: Any) -> list[str]:
    return [error["code"] for error in answer["errors"]]
