"""Rows of play sessions in the world of both ways."""

from __future__ import annotations

import asyncpg

from db.core.actor import Actor

from ...db.states import rows_with_a_past
from .people import LASTING, TEXTS, TIMESTAMPS, add, known

STATUSES = ("WAITING", "ACTIVE", "ENDED", "ABANDONED")


async def add_play_rows(owner: asyncpg.Connection, user: Actor, other: Actor) -> None:
    """Makes sessions of two users and somebody without an account, with turns in each."""
    async with rows_with_a_past(owner, "play_sessions", "play_players", "play_turns"):
        for n, status in enumerate(STATUSES):
            await _session(owner, user, n, status)
            await _players(owner, user, other, n)
            await _turns(owner, user, n)


async def _session(owner: asyncpg.Connection, user: Actor, n: int, status: str) -> None:
    await add(
        owner,
        "play_sessions",
        id=known(user, "play session", n),
        level="GRX"[n % 3],
        status=status,
        version=n + 1,
        player_order="RANDOM" if n % 2 else "SEQUENTIAL",
        turn_player_id=known(user, "play player", 3 * n),
        current_turn_id=known(user, "play turn", 2 * n) if n % 2 else None,
        turn_count=2,
        skips_in_row=3 if n < 2 else 0,
        created_at=TIMESTAMPS[n],
        updated_at=TIMESTAMPS[n + 1],
        ended_at=LASTING[n] if n > 1 else None,
    )


async def _players(owner: asyncpg.Connection, user: Actor, other: Actor, n: int) -> None:
    for seat, (user_id, status) in enumerate(
        ((user.user_id, "JOINED"), (other.user_id, "INVITED"), (None, "PRESENT"))
    ):
        await add(
            owner,
            "play_players",
            id=known(user, "play player", 3 * n + seat),
            session_id=known(user, "play session", n),
            user_id=user_id,
            seat=seat + 1,
            name=TEXTS[3] if seat < 2 else TEXTS[4],
            is_opponent=seat == 2,
            status=status,
            created_at=TIMESTAMPS[n],
            confirmed_at=None if seat else TIMESTAMPS[n],
        )


async def _turns(owner: asyncpg.Connection, user: Actor, n: int) -> None:
    for turn, status in enumerate(("COMPLETED", "SKIPPED" if n % 2 else "DRAWN")):
        await add(
            owner,
            "play_turns",
            id=known(user, "play turn", 2 * n + turn),
            session_id=known(user, "play session", n),
            number=turn + 1,
            player_id=known(user, "play player", 3 * n),
            partner_id=known(user, "play player", 3 * n + 2),
            activity_id="one",
            kind="DARE" if turn else "TRUTH",
            level="G",
            intensity=1 + n,
            text=TEXTS[n],
            theme=TEXTS[3],
            why={"step": n} if turn else {},
            scores={},
            status=status,
            done=None if turn else n % 2 == 0,
            feedback=None if turn else "LIKE",
            created_at=TIMESTAMPS[n],
            ended_at=None if turn else TIMESTAMPS[n],
        )


async def add_activity_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """Makes activities that are drawn in no session, and requests to an AI."""
    for n in range(2):
        await add(
            owner,
            "activities",
            id=_activity(user, n),
            kind="TRUTH" if n else "DARE",
            level="GX"[n],
            intensity=1 + n,
            text=TEXTS[3],
            themes=("one", TEXTS[3]),
            limit_keys=("impact",) if n else (),
            domains=("POWER",) if n else (),
            source="ADMIN",
            is_active=False,
            created_at=TIMESTAMPS[n],
        )
        await add(
            owner,
            "activity_generation_logs",
            id=known(user, "activity log", n),
            session_id=known(user, "play session", n),
            provider="gemini",
            model=TEXTS[3],
            level="R",
            prompt=TEXTS[n],
            answer=TEXTS[n] if n else None,
            outcome="ANSWERED" if n else "FAILED",
            approved_count=n,
            reasons=[{"place": n, "problems": [TEXTS[3]]}] if n else [],
            duration_milliseconds=n,
            usage={"tokens": n} if n else {},
            created_at=TIMESTAMPS[n],
        )


def _activity(user: Actor, n: int) -> str:
    return known(user, "activity", n).hex * 2


def activity_ids(user: Actor) -> dict[str, list[str]]:
    """The global ids of them, by type."""
    return {
        "Activity": [f"activity_{_activity(user, n)}" for n in range(2)],
        "ActivityGenerationLog": [
            f"activityGenerationLog_{known(user, 'activity log', n)}" for n in range(2)
        ],
    }


def play_ids(user: Actor) -> dict[str, list[str]]:
    """The global ids of them, by type."""
    return {
        "PlaySession": [f"playSession_{known(user, 'play session', n)}" for n in range(4)],
        "PlayPlayer": [f"playPlayer_{known(user, 'play player', n)}" for n in range(3)],
        "PlayTurn": [f"playTurn_{known(user, 'play turn', n)}" for n in range(3)],
    }
