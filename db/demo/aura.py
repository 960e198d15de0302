"""Makes the person who shows Aura: ten profiles, chats, and what they say of themselves.

They act by the commands that clients have. Who is there already stays as they are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import orjson

from db.accounts.emails import email_key
from db.accounts.operating import as_owner
from db.administration.new_users import NewUser
from db.administration.operations import ADD_USER
from db.coaching.operations import create_session
from db.core.codecs import set_codecs
from db.core.commands import call, call_on
from db.core.errors import Problems
from db.core.pool import PooledConnection, Transaction
from db.sync.changes import ProfileChange, SyncMessage, SyncStrategy
from db.sync.operations import good_changes, sync_of
from db.user_profiles.operations import update_user_profile

EMAIL = "nora@test.com"
DEVICE = "demo-phone"
# So that messages and sessions are the same ones each time.
MADE_BY_DEMO = UUID("5a4cf3cb-9f0f-4d0e-8f3e-5b6f0d7d3c10")
_FIND = "select id from users where email_key = $1"

# Name, age, what they do, where, and what stands out.
PEOPLE = (
    ("Kim", 31, "physiotherapist", "Aachen", "climbs twice a week", "answers late at night only"),
    ("Jo", 29, "teacher", "Cologne", "asks questions back", "has plans for every weekend"),
    ("Sam", 34, "cook", "Liège", "writes whole sentences", "works when others are free"),
    ("Lea", 27, "nurse", "Maastricht", "laughs at herself", "is new in town"),
    ("Ben", 36, "carpenter", "Düren", "builds his own boats", "says little about people"),
    ("Ida", 30, "editor", "Bonn", "reads what you recommend", "replies after days"),
    ("Max", 33, "engineer", "Aachen", "cooks for friends", "talks about work a lot"),
    ("Eva", 28, "biologist", "Eupen", "knows every bird", "is away in spring"),
    ("Tom", 35, "musician", "Cologne", "remembers details", "lives at night"),
    ("Mia", 32, "lawyer", "Düsseldorf", "says what she wants", "has little time"),
)
OWN = {
    "zodiac_sign": "Libra",
    "location": "Aachen",
    "dating_goals": {"type": "long-term", "description": "Somebody for long walks."},
    "manual_entry": {"name": "Nora", "age": 31, "interests": ["walking", "films"]},
    "text_inputs": [{"content": "I like to be asked.", "label": "About me"}],
    "settings": {"theme": "dark", "hasSeenOnboarding": True, "tags": ["met", "later"]},
}


async def load_aura(owner_url: str, password_hash: str, operator: str) -> dict[str, int]:
    """Makes what there is not yet; gives how many were made of what."""
    async with as_owner(owner_url) as connection:
        await set_codecs(connection)
        if await connection.fetchval(_FIND, email_key(EMAIL)) is not None:
            return {"people": 0, "profiles": 0, "messages": 0}
        # Whole or not at all.
        async with connection.transaction():
            new = NewUser(EMAIL, is_confirmed=True, display_name="Nora")
            added = ADD_USER(
                given=new.with_hash(password_hash),
                given_by=operator,
                from_network=None,
                from_device=None,
            )
            user_id = await call_on(connection, added)
            await connection.execute("select set_config('app.user_id', $1, true)", str(user_id))
            messages = await _keep_all(Transaction(PooledConnection(connection)))
    return {"people": 1, "profiles": len(PEOPLE), "messages": messages}


async def _keep_all(transaction: Transaction) -> int:
    """What the person has kept; gives how many messages there are."""
    changes = [_profile(n) for n in range(len(PEOPLE))]
    sync = sync_of(DEVICE, None, SyncStrategy.LAST_WRITE_WINS, good_changes(changes, {}))
    answer = await call(transaction, sync)
    done: dict[str, Any] = orjson.loads(answer)
    await call(transaction, update_user_profile(Problems(), OWN))
    session = {
        "profile_id": UUID(done["accepted"][0]["id"]),
        "client_id": str(uuid5(MADE_BY_DEMO, "coaching")),
        "match_analysis": {"detected_agenda": "wants to meet", "detected_tactics": []},
        "suggested_responses": [{"message": "Tuesday at the wall?", "tactic": "direct"}],
        "actual_response": "Tuesday at six?",
        "response_score": 8,
        "score_explanation": "Short, and names a time.",
    }
    await call(transaction, create_session(Problems(), session))
    return sum(len(change.messages) for change in changes)


def _profile(n: int) -> ProfileChange:
    name, age, job, town, good, less = PEOPLE[n]
    made_at = datetime(2026, 11, 1, 18, tzinfo=UTC) + timedelta(days=n)
    said = (
        ("USER", f"What do I ask {name} first?"),
        ("ASSISTANT", f"{name} {good}: ask how that began."),
        ("USER", "Anything to look out for?"),
        ("ASSISTANT", f"{name} {less}; see whether it suits you."),
    )
    return ProfileChange(
        local_id=n + 1,
        id=None,
        clock=f"{int(made_at.timestamp() * 1000)}:0",
        since=None,
        deleted=False,
        created_at=made_at,
        groups={
            "name": name,
            "analysis": {
                "basics": {"name": name, "age": age, "job": job, "location": town},
                "overall_analysis": {
                    "summary": f"{name} {good}.",
                    "green_flags": [good],
                    "red_flags": [less],
                },
                "recommended_openers": [
                    {"type": "match_opener", "message": f"What led you to {town}?"}
                ],
            },
        },
        # Half of them are talked about.
        messages=[
            SyncMessage(
                str(uuid5(MADE_BY_DEMO, f"{n} {place}")),
                role,
                text,
                made_at + timedelta(minutes=place),
            )
            for place, (role, text) in enumerate(said if n % 2 == 0 else ())
        ],
    )
