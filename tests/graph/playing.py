"""People who play, and what they play with, for tests of play sessions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from db.core.actor import Actor

from ..attuned import onboard
from .conftest import Ask

SESSION = """playSession { id status version level turnCount nudge { options }
  players { id name seat status userId isOpponent } turn { playerId }
  current { id number kind level text theme isRepeated why playerId status } }
  dailyLimit { used limit remaining resetsAt upgradeRequired } errors { code message path }"""
CALLS = {
    "start": f"""mutation($level: PlayLevel!, $players: [PlayPlayerInput!]! = [], $key: String, $opponent: String) {{
      answer: startPlaySession(input: {{level: $level, players: $players, idempotencyKey: $key,
        opponentName: $opponent}}) {{
        {SESSION} }} }}""",
    "confirm": f"""mutation($id: ID!, $level: PlayLevel) {{
      answer: confirmPlaySession(input: {{id: $id, level: $level}}) {{ {SESSION} }} }}""",
    "leave": """mutation($id: ID!) {
      answer: leavePlaySession(input: {id: $id}) { errors { code } } }""",
    "end": f"""mutation($id: ID!) {{ answer: endPlaySession(input: {{id: $id}}) {{ {SESSION} }} }}""",
    "draw": f"""mutation($id: ID!, $version: Int!, $kind: PlayKind! = RANDOM) {{
      answer: drawActivity(input: {{sessionId: $id, version: $version, kind: $kind}}) {{ {SESSION} }} }}""",
    "skip": f"""mutation($id: ID!, $version: Int!) {{
      answer: skipActivity(input: {{sessionId: $id, version: $version}}) {{ {SESSION} }} }}""",
    "complete": f"""mutation($id: ID!, $version: Int!, $done: Boolean! = true, $feedback: PlayFeedback) {{
      answer: completeActivity(input: {{sessionId: $id, version: $version, done: $done, feedback: $feedback}}) {{
        {SESSION} }} }}""",
    "lower": f"""mutation($id: ID!, $level: PlayLevel!, $version: Int!) {{
      answer: lowerPlayLevel(input: {{sessionId: $id, level: $level, version: $version}}) {{ {SESSION} }} }}""",
    "see": """query($id: ID!) { answer: playSession(id: $id) { id status version level turnCount
      players { name status } turns { nodes { number status } } turn { playerId } } }""",
}


@dataclass
class Play:
    """Asks as somebody who plays, and puts activities and partners into the database."""

    ask: Ask
    owner: asyncpg.Connection

    async def __call__(self, call: str, actor: Actor, /, **variables: Any) -> Any:
        """The answer of a call, or its top-level error's code."""
        if call in ("start", "confirm"):
            await onboard(self.owner, actor.user_id)
        answer = await self.ask(CALLS[call], variables, actor=actor)
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        return answer["data"]["answer"]

    async def started(self, actor: Actor, *, level: str = "R", activities: int = 60) -> Any:
        """A session that somebody plays alone, with activities that are drawn in no other."""
        answer = await self("start", actor, level=level)
        assert answer["errors"] == []
        await self.activities(key(answer["playSession"]["id"]), activities)
        return answer["playSession"]

    async def activities(self, session: UUID, count: int, **given: Any) -> list[str]:
        """Activities of a session alone: as many truths as dares, each of a theme of its own."""
        made = [
            {
                "id": hashlib.sha256(f"{session} {number} {uuid4()}".encode()).hexdigest(),
                "kind": "TRUTH" if number % 2 else "DARE",
                "level": "R",
                "intensity": 1 + number % 3,
                "text": "{active}: " + str(number),
                "themes": [f"theme-{number % 7}"],
                "source": "AI",
                "session_id": session,
            }
            | given
            for number in range(count)
        ]
        for row in made:
            places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
            await self.owner.execute(
                f"insert into activities ({', '.join(row)}) values ({places})", *row.values()
            )
        return [row["id"] for row in made]

    async def invite(self, session: str, *others: Actor) -> None:
        """Asks users to play along, as starting with partners does."""
        for seat, other in enumerate(others, start=10):
            await self.owner.execute(
                "insert into play_players (session_id, user_id, seat, name, status)"
                " values ($1, $2, $3, $4, 'INVITED')",
                key(session), other.user_id, seat, f"Guest {seat}",
            )  # fmt: skip
        await self.owner.execute(
            "delete from play_players where session_id = $1 and is_opponent", key(session)
        )

    async def pair(self, *actors: Actor, level: str = "R", activities: int = 60) -> Any:
        """A session of some users, all of whom have confirmed."""
        first, *others = actors
        session = await self.started(first, level=level, activities=activities)
        await self.invite(session["id"], *others)
        for other in others:
            answer = await self("confirm", other, id=session["id"])
        return answer["playSession"]


def key(global_id: str) -> UUID:
    """The key behind a global id."""
    return UUID(global_id.partition("_")[2])


def codes(answer: Any) -> list[str]:
    """The codes that a call was refused with; empty when it was done."""
    return [answer] if isinstance(answer, str) else [e["code"] for e in answer["errors"]]
