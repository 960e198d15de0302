"""Rows of chats and analyses in the world of both ways."""

from __future__ import annotations

import asyncpg

from db.core.actor import Actor

from ...db.states import rows_with_a_past
from .people import DOCUMENT, LASTING, TEXTS, TIMESTAMPS, add, known

STATUSES = ("SUCCEEDED", "FAILED", "CANCELLED", "RUNNING")


async def add_chat_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """Makes replies and analyses in every state, about the user's first profile, and their log."""
    profile = known(user, "profile", 0)
    async with rows_with_a_past(owner, "chat_messages", "profile_analyses"):
        for n, status in enumerate(STATUSES):
            ends: dict[str, object] = {
                "user_id": user.user_id,
                "profile_id": profile,
                "status": status,
                "credits_charged": n,
                "made_offline": n % 2 == 0,
                "error_code": "PROVIDER_FAILED" if status == "FAILED" else None,
                "error_message": TEXTS[n] if status == "FAILED" else None,
                "created_at": TIMESTAMPS[n],
                "finished_at": None if status == "RUNNING" else LASTING[n],
            }
            message = known(user, "chat message", n)
            await add(
                owner,
                "chat_messages",
                id=message,
                role="ASSISTANT" if n else "USER",
                question_id=known(user, "chat message", 0) if n else None,
                client_id=f"device-{n}" if n < 2 else None,
                text="" if status == "RUNNING" else TEXTS[n],
                **(ends if n else ends | {"made_offline": False}),
            )
            result = {"summary": TEXTS[n]} if status == "SUCCEEDED" else None
            await add(
                owner,
                "profile_analyses",
                id=known(user, "profile analysis", n),
                result=result,
                **ends,
            )
            await add(
                owner,
                "ai_request_logs",
                id=known(user, "ai request log", n),
                run_id=message,
                user_id=user.user_id,
                feature="CHAT" if n % 2 else "ANALYSIS",
                attempt=1,
                provider="offline",
                outcome=("SUCCEEDED", "FAILED", "CANCELLED", "ABANDONED")[n],
                latency_milliseconds=7 * n,
                first_milliseconds=n or None,
                usage={"tokens": n},
                cost_micro_usd=n,
                error=TEXTS[3] if n == 1 else None,
                created_at=TIMESTAMPS[n],
            )


async def add_coaching_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """Makes coaching sessions about the user's first profile."""
    for n in range(3):
        await add(
            owner,
            "coaching_sessions",
            id=known(user, "coaching session", n),
            user_id=user.user_id,
            profile_id=known(user, "profile", 0),
            client_id=f"device-{n}" if n else None,
            upload_ids=(known(user, "upload", 0),) if n else (),
            match_analysis=DOCUMENT if n else None,
            suggested_responses=[DOCUMENT] if n else [],
            actual_response=TEXTS[n],
            response_score=n + 1 if n else None,
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[2],
        )


def chat_ids(user: Actor) -> dict[str, list[str]]:
    """The global ids of them, by type."""
    return {
        "ChatMessage": [f"chatMessage_{known(user, 'chat message', n)}" for n in range(4)],
        "ProfileAnalysis": [
            f"profileAnalysis_{known(user, 'profile analysis', n)}" for n in range(4)
        ],
        "CoachingSession": [
            f"coachingSession_{known(user, 'coaching session', n)}" for n in range(3)
        ],
    }
