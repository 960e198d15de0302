"""A session is one lineage of tokens: replays, locks and revocations end it everywhere."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from auth.refresh_tokens import new_refresh_token
from auth.revocation_watch import RevocationWatch
from auth.sessions import SignedIn
from db.accounts import sessions as account_sessions
from db.core.actor import NOBODY, SERVICE
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from settings import Settings
from tests.auth.services import PASSWORD, AuthServices, an_email, build, lock, refreshes, refused


async def test_a_refresh_goes_on_with_the_same_session(services: AuthServices) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    await services.all(
        "update sessions set expires_at = now() + interval '1 day' where id = :id returning id",
        id=ana.session_id,
    )
    second = await services.accounts.refresh(ana.refresh_token)
    third = await services.accounts.refresh(second.refresh_token)
    assert ana.session_id == second.session_id == third.session_id
    assert len({ana.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert services.tokens.verify(third.access_token).user_id == ana.user_id
    days = "select extract(day from expires_at - now()) from sessions where id = :id"
    assert await services.value(days, id=ana.session_id) >= 29


async def test_raced_refreshes_make_one_lineage(services: AuthServices) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    answers = await refreshes(services, *[ana.refresh_token] * 8)
    successors = {answer.refresh_token for answer in answers if isinstance(answer, SignedIn)}
    assert [answer for answer in answers if not isinstance(answer, SignedIn)] == []
    assert len(successors) == 1
    count = "select count(*) from refresh_tokens where session_id = :id"
    assert await services.value(count, id=ana.session_id) == 2
    assert (await services.accounts.refresh(successors.pop())).session_id == ana.session_id


async def test_a_replay_kills_the_family_with_its_descendants(services: AuthServices) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    elsewhere = await services.accounts.sign_in(email, PASSWORD)
    second = await services.accounts.refresh(ana.refresh_token)
    third = await services.accounts.refresh(second.refresh_token)
    # Its successor was used, so even within the window this is no retry.
    assert await refused(services.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED
    for token in (ana.refresh_token, second.refresh_token, third.refresh_token):
        assert await refused(services.accounts.refresh(token)) is ErrorCode.UNAUTHENTICATED
    with pytest.raises(DomainError):
        services.tokens.verify(third.access_token)
    (session,) = await services.all("select * from sessions where id = :id", id=ana.session_id)
    assert session["revoked_reason"] == "refresh_token_reused"
    assert (await services.audit(ana.user_id)).count("refresh_token_reused") == 1
    assert services.tokens.verify(elsewhere.access_token).user_id == ana.user_id
    assert (await services.accounts.refresh(elsewhere.refresh_token)).user_id == ana.user_id


async def test_the_reuse_window_closes(services: AuthServices) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    second = await services.accounts.refresh(ana.refresh_token)
    assert (
        await services.accounts.refresh(ana.refresh_token)
    ).refresh_token == second.refresh_token
    await services.all(
        "update refresh_tokens set used_at = used_at - interval '1 hour' "
        "where session_id = :id and used_at is not null returning 1",
        id=ana.session_id,
    )
    for token in (ana.refresh_token, second.refresh_token):
        assert await refused(services.accounts.refresh(token)) is ErrorCode.UNAUTHENTICATED


async def test_without_a_window_every_reuse_is_a_replay(
    database: Database, settings: Settings, services: AuthServices
) -> None:
    strict = build(database, settings.model_copy(update={"refresh_reuse_seconds": 0}))
    ana = await strict.accounts.sign_up(an_email(), PASSWORD)
    answers = await refreshes(strict, *[ana.refresh_token] * 3)
    assert sum(isinstance(answer, SignedIn) for answer in answers) == 1
    reason = "select revoked_reason from sessions where id = :id"
    assert await services.value(reason, id=ana.session_id) == "refresh_token_reused"
    strict.passwords.close()


async def test_tokens_that_refresh_nothing(services: AuthServices) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    wrong = ["", "\0", "\ud800", "tgr_", new_refresh_token(), ana.access_token, "x" * 10_000]
    for token in [*wrong, ana.refresh_token.upper()]:
        assert await refused(services.accounts.refresh(token)) is ErrorCode.UNAUTHENTICATED
    assert (await services.accounts.refresh(ana.refresh_token)).user_id == ana.user_id


@pytest.mark.parametrize("table", ["sessions", "refresh_tokens"])
async def test_expiry_ends_refreshing(services: AuthServices, table: str) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    column = "id" if table == "sessions" else "session_id"
    await services.all(
        f"update {table} set expires_at = now() where {column} = :id returning 1",
        id=ana.session_id,
    )
    assert await refused(services.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED


@pytest.mark.parametrize("days", [80, 91])
async def test_a_session_ends_after_its_time_however_much_it_is_used(
    services: AuthServices, days: int
) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    assert isinstance(ana, SignedIn)
    proven = f"""update sessions set authenticated_at = now() - interval '{days} days'
        where id = :id returning id"""
    await services.all(proven, id=ana.session_id)
    if days > 90:
        assert (
            await refused(services.accounts.refresh(ana.refresh_token)) is ErrorCode.SESSION_EXPIRED
        )
        # Who has proven again who they are goes on with the same token.
        await services.all(proven.replace(str(days), "0"), id=ana.session_id)
        await services.accounts.refresh(ana.refresh_token)
        return
    await services.accounts.refresh(ana.refresh_token)
    left = (
        "select round(extract(epoch from expires_at - now()) / 86400) from sessions where id = :id"
    )
    assert await services.value(left, id=ana.session_id) == 10


async def test_a_guests_session_goes_on_as_long_as_it_is_used(services: AuthServices) -> None:
    guest = await services.accounts.sign_in_anonymously()
    assert isinstance(guest, SignedIn)
    await services.all(
        "update sessions set authenticated_at = now() - interval '5 years' where id = :id returning id",
        id=guest.session_id,
    )
    await services.accounts.refresh(guest.refresh_token)
    left = (
        "select round(extract(epoch from expires_at - now()) / 86400) from sessions where id = :id"
    )
    assert await services.value(left, id=guest.session_id) == 90


async def test_a_locked_user_is_out(services: AuthServices, owner: asyncpg.Connection) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    await lock(owner, ana.user_id)
    ended = "select id from sessions where user_id = :id and revoked_reason = 'account_locked'"
    assert [row["id"] for row in await services.all(ended, id=ana.user_id)] == [ana.session_id]
    assert await refused(services.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED
    assert (
        await refused(services.accounts.sign_in(email, PASSWORD)) is ErrorCode.INVALID_CREDENTIALS
    )


async def test_a_user_locked_by_hand_is_out_at_the_next_refresh(services: AuthServices) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    lock = "update users set status = 'locked' where id = :id returning id"
    await services.all(lock, id=ana.user_id)
    assert await refused(services.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED
    with pytest.raises(DomainError):
        services.tokens.verify(ana.access_token)


async def test_a_deleted_user_is_out(services: AuthServices) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    async with services.database.transaction(SERVICE) as transaction:
        # The immutable ledger keeps whole users; what signing in needs is gone all the same.
        for table in ("credentials", "sessions"):
            await transaction.execute(
                text(f"delete from {table} where user_id = :id"), id=ana.user_id
            )
    assert await refused(services.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED
    assert (
        await refused(services.accounts.sign_in(email, PASSWORD)) is ErrorCode.INVALID_CREDENTIALS
    )


async def test_signing_out_ends_one_session_once(services: AuthServices) -> None:
    email = an_email()
    here = await services.accounts.sign_up(email, PASSWORD)
    elsewhere = await services.accounts.sign_in(email, PASSWORD)
    for _ in range(2):
        await services.accounts.sign_out(here.actor)
    await services.accounts.sign_out(NOBODY)
    with pytest.raises(DomainError):
        services.tokens.verify(here.access_token)
    assert await refused(services.accounts.refresh(here.refresh_token)) is ErrorCode.UNAUTHENTICATED
    assert services.tokens.verify(elsewhere.access_token).user_id == here.user_id
    assert await services.audit(here.user_id) == ["sign_up", "sign_in", "sign_out"]


async def test_another_process_learns_of_a_revocation_within_seconds(
    services: AuthServices, database: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    before = await services.accounts.sign_up(an_email(), PASSWORD)
    await services.accounts.sign_out(before.actor)
    elsewhere = build(database, settings)
    watch = RevocationWatch(database, elsewhere.tokens.revoked)
    closed = asyncio.Queue[UUID]()
    await watch.start()
    assert watch.is_revoked(before.session_id)
    watch.on_revoked(closed.put_nowait)
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    assert elsewhere.tokens.verify(ana.access_token).user_id == ana.user_id
    await lock(owner, ana.user_id)
    async with asyncio.timeout(5):
        while await closed.get() != ana.session_id:
            pass
    with pytest.raises(DomainError):
        elsewhere.tokens.verify(ana.access_token)
    await watch.stop()
    elsewhere.passwords.close()


async def test_the_watch_survives_a_database_that_fails(
    services: AuthServices, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = RevocationWatch(database, services.tokens.revoked, look_every_seconds=0.02)
    closed = asyncio.Queue[UUID]()
    await watch.start()
    watch.on_revoked(closed.put_nowait)
    failures = 0

    async def failing(*_: object) -> list[UUID]:
        nonlocal failures
        failures += 1
        raise OSError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(account_sessions, "list_revoked_sessions", failing)
        ana = await services.accounts.sign_up(an_email(), PASSWORD)
        async with database.transaction(SERVICE) as transaction:
            await account_sessions.revoke_user_sessions(transaction, ana.user_id, "test")
        await asyncio.sleep(0.3)
        assert 2 <= failures <= 6
        assert not watch.is_revoked(ana.session_id)
    async with asyncio.timeout(5):
        while await closed.get() != ana.session_id:
            pass
    assert watch.is_revoked(ana.session_id)
    await watch.stop()
