"""Guests whom nobody uses any more are erased; who is used, has paid or belongs somewhere stays."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from auth.sessions import SignedIn
from db.core.pool import Database
from db.guests import operations
from jobs.guests import end_idle_guests
from jobs.leaving import erase_account
from settings import Settings

from ..auth.services import build

GUEST = "insert into users (id, is_anonymous, created_at) values ($1, true, now() - interval '20 years')"
SESSION = """insert into sessions (user_id, created_at, last_used_at, expires_at)
    values ($1, now() - interval '20 years', now() - $2::interval, now() + interval '1 day')"""
# So long ago.
IMPORTED = """insert into imported_users (user_id, source, imported_at, metadata)
    values ($1, 'supabase', now() - interval '{}', '{{}}')"""
ENTITLED = """insert into provider_entitlements
    (user_id, provider, source, name, product, store, expires_at, grace_ends_at, will_renew, told_at)
    values ($1, 'revenuecat', gen_random_uuid(), 'premium', 'monthly', 'APP_STORE',
        now() - interval '20 days', now() - interval '{}', false, now())"""
SCHEDULED = "select count(*) from account_deletions where user_id = $1"
# What keeps somebody, as statements with their id.
KEPT = {
    "a session within the time": (SESSION.replace("$2::interval", "interval '3649 days'"),),
    "an import within the time": (IMPORTED.format("3649 days"),),
    "a member": ("update users set is_anonymous = false where id = $1",),
    "a locked guest": ("update users set status = 'locked' where id = $1",),
    "credits that were bought": ("select app.grant_credits($1, 'PURCHASE', 5)",),
    "a plan that costs something": (
        "update users set plan_id = (select p.id from plans p where p.price_cents > 0 limit 1)"
        " where id = $1",
    ),
    "something bought in an app store": (ENTITLED.format("-1 day"),),
    "an organization": (
        "insert into organizations (id, name) values ($1, 'Theirs')",
        "insert into organization_members (organization_id, user_id, role) values ($1, $1, 'MEMBER')",
    ),
}


async def guest(owner: asyncpg.Connection, *statements: str) -> UUID:
    """Somebody who signed up as a guest long ago and came back for the last time 3651 days ago."""
    made = uuid4()
    await owner.execute(GUEST, made)
    await owner.execute(SESSION.replace("$2::interval", "interval '3651 days'"), made)
    for statement in statements:
        await owner.execute(statement, made)
    return made


@pytest.fixture
def patient(settings: Settings) -> Settings:
    """Settings by which no guest of another test is away for long enough."""
    return settings.model_copy(update={"guest_days": 3650})


async def test_a_guest_who_stays_away_is_erased(
    database: Database, owner: asyncpg.Connection, patient: Settings
) -> None:
    away = await guest(
        owner,
        "select app.grant_credits($1, 'SIGNUP_BONUS', 5)",
        IMPORTED.format("3651 days"),
        ENTITLED.format("10 days"),
    )
    await end_idle_guests(database, patient)
    assert await owner.fetchval(SCHEDULED, away) == 1
    queued = "select count(*) from queue.pgqueuer where dedupe_key = $1"
    assert await owner.fetchval(queued, f"erase:{away}") == 1
    await erase_account(database, user_id=away)
    assert not await owner.fetchval("select count(*) from users where id = $1", away)


@pytest.mark.parametrize("why", [*KEPT])
async def test_who_is_used_has_paid_or_belongs_somewhere_stays(
    database: Database, owner: asyncpg.Connection, patient: Settings, why: str
) -> None:
    kept = await guest(owner, *KEPT[why])
    try:
        await end_idle_guests(database, patient)
        assert await owner.fetchval(SCHEDULED, kept) == 0
    finally:
        # Otherwise each would be looked at again and again.
        await owner.execute("update users set created_at = now() where id = $1", kept)


async def test_all_of_them_go_however_many_there_are(
    database: Database,
    owner: asyncpg.Connection,
    patient: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("db.guests.operations", "jobs.guests"):
        monkeypatch.setattr(f"{module}.ENDED_AT_ONCE", 2)
    assert operations.ENDED_AT_ONCE == 2
    away = [await guest(owner) for _ in range(5)]
    await end_idle_guests(database, patient)
    scheduled = "select count(*) from account_deletions where user_id = any ($1)"
    assert await owner.fetchval(scheduled, away) == len(away)


async def test_a_guests_session_lasts_as_long_as_the_guest_is_kept(
    database: Database, owner: asyncpg.Connection, settings: Settings
) -> None:
    guest = await build(database, settings).accounts.sign_in_anonymously()
    assert isinstance(guest, SignedIn)
    life = await owner.fetchrow(
        "select s.expires_at - s.created_at as session, t.expires_at - t.created_at as token"
        " from sessions s join refresh_tokens t on t.session_id = s.id where s.user_id = $1",
        guest.user_id,
    )
    assert {life["session"].days, life["token"].days} <= {89, 90}
