"""A session is one lineage of tokens: replays, locks and revocations end it everywhere."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text

from auth.accounts import SignedIn
from auth.refresh_tokens import new_refresh_token
from auth.revocation_watch import RevocationWatch
from db.accounts import operations
from db.core.actor import NOBODY, SERVICE
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from settings import Settings
from tests.auth.house import PASSWORD, House, an_email, build, refreshes, refused


async def test_a_refresh_goes_on_with_the_same_session(house: House) -> None:
    ana = await house.accounts.sign_up(an_email(), PASSWORD)
    await house.all(
        "update sessions set expires_at = now() + interval '1 day' where id = :id returning id",
        id=ana.session_id,
    )
    second = await house.accounts.refresh(ana.refresh_token)
    third = await house.accounts.refresh(second.refresh_token)
    assert ana.session_id == second.session_id == third.session_id
    assert len({ana.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert house.tokens.verify(third.access_token).user_id == ana.user_id
    days = "select extract(day from expires_at - now()) from sessions where id = :id"
    assert await house.value(days, id=ana.session_id) >= 29


async def test_raced_refreshes_make_one_lineage(house: House) -> None:
    ana = await house.accounts.sign_up(an_email(), PASSWORD)
    answers = await refreshes(house, *[ana.refresh_token] * 8)
    successors = {answer.refresh_token for answer in answers if isinstance(answer, SignedIn)}
    assert [answer for answer in answers if not isinstance(answer, SignedIn)] == []
    assert len(successors) == 1
    count = "select count(*) from refresh_tokens where session_id = :id"
    assert await house.value(count, id=ana.session_id) == 2
    assert (await house.accounts.refresh(successors.pop())).session_id == ana.session_id


async def test_a_replay_kills_the_family_with_its_descendants(house: House) -> None:
    email = an_email()
    ana = await house.accounts.sign_up(email, PASSWORD)
    elsewhere = await house.accounts.sign_in(email, PASSWORD)
    second = await house.accounts.refresh(ana.refresh_token)
    third = await house.accounts.refresh(second.refresh_token)
    # Its successor was used, so even within the window this is no retry.
    assert await refused(house.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED
    for token in (ana.refresh_token, second.refresh_token, third.refresh_token):
        assert await refused(house.accounts.refresh(token)) is ErrorCode.UNAUTHENTICATED
    with pytest.raises(DomainError):
        house.tokens.verify(third.access_token)
    (session,) = await house.all("select * from sessions where id = :id", id=ana.session_id)
    assert session["revoked_reason"] == "refresh_token_reused"
    assert (await house.audit(ana.user_id)).count("refresh_token_reused") == 1
    assert house.tokens.verify(elsewhere.access_token).user_id == ana.user_id
    assert (await house.accounts.refresh(elsewhere.refresh_token)).user_id == ana.user_id


async def test_the_reuse_window_closes(house: House) -> None:
    ana = await house.accounts.sign_up(an_email(), PASSWORD)
    second = await house.accounts.refresh(ana.refresh_token)
    assert (await house.accounts.refresh(ana.refresh_token)).refresh_token == second.refresh_token
    await house.all(
        "update refresh_tokens set used_at = used_at - interval '1 hour' "
        "where session_id = :id and used_at is not null returning 1",
        id=ana.session_id,
    )
    for token in (ana.refresh_token, second.refresh_token):
        assert await refused(house.accounts.refresh(token)) is ErrorCode.UNAUTHENTICATED


async def test_without_a_window_every_reuse_is_a_replay(
    database: Database, settings: Settings, house: House
) -> None:
    strict = build(database, settings.model_copy(update={"refresh_reuse_seconds": 0}))
    ana = await strict.accounts.sign_up(an_email(), PASSWORD)
    answers = await refreshes(strict, *[ana.refresh_token] * 3)
    assert sum(isinstance(answer, SignedIn) for answer in answers) == 1
    reason = "select revoked_reason from sessions where id = :id"
    assert await house.value(reason, id=ana.session_id) == "refresh_token_reused"
    strict.passwords.close()


async def test_tokens_that_refresh_nothing(house: House) -> None:
    ana = await house.accounts.sign_up(an_email(), PASSWORD)
    wrong = ["", "\0", "\ud800", "tgr_", new_refresh_token(), ana.access_token, "x" * 10_000]
    for token in [*wrong, ana.refresh_token.upper()]:
        assert await refused(house.accounts.refresh(token)) is ErrorCode.UNAUTHENTICATED
    assert (await house.accounts.refresh(ana.refresh_token)).user_id == ana.user_id


@pytest.mark.parametrize("table", ["sessions", "refresh_tokens"])
async def test_expiry_ends_refreshing(house: House, table: str) -> None:
    ana = await house.accounts.sign_up(an_email(), PASSWORD)
    column = "id" if table == "sessions" else "session_id"
    await house.all(
        f"update {table} set expires_at = now() where {column} = :id returning 1",
        id=ana.session_id,
    )
    assert await refused(house.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED


async def test_a_locked_user_is_out(house: House) -> None:
    email = an_email()
    ana = await house.accounts.sign_up(email, PASSWORD)
    async with house.database.transaction(SERVICE) as transaction:
        assert await operations.lock_account(transaction, ana.user_id) == [ana.session_id]
    assert await refused(house.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED
    assert await refused(house.accounts.sign_in(email, PASSWORD)) is ErrorCode.INVALID_CREDENTIALS


async def test_a_user_locked_by_hand_is_out_at_the_next_refresh(house: House) -> None:
    ana = await house.accounts.sign_up(an_email(), PASSWORD)
    lock = "update users set status = 'locked' where id = :id returning id"
    await house.all(lock, id=ana.user_id)
    assert await refused(house.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED
    with pytest.raises(DomainError):
        house.tokens.verify(ana.access_token)


async def test_a_deleted_user_is_out(house: House) -> None:
    email = an_email()
    ana = await house.accounts.sign_up(email, PASSWORD)
    async with house.database.transaction(SERVICE) as transaction:
        # The immutable ledger keeps whole users; what signing in needs is gone all the same.
        for table in ("credentials", "sessions"):
            await transaction.execute(
                text(f"delete from {table} where user_id = :id"), id=ana.user_id
            )
    assert await refused(house.accounts.refresh(ana.refresh_token)) is ErrorCode.UNAUTHENTICATED
    assert await refused(house.accounts.sign_in(email, PASSWORD)) is ErrorCode.INVALID_CREDENTIALS


async def test_signing_out_ends_one_session_once(house: House) -> None:
    email = an_email()
    here = await house.accounts.sign_up(email, PASSWORD)
    elsewhere = await house.accounts.sign_in(email, PASSWORD)
    for _ in range(2):
        await house.accounts.sign_out(here.actor)
    await house.accounts.sign_out(NOBODY)
    with pytest.raises(DomainError):
        house.tokens.verify(here.access_token)
    assert await refused(house.accounts.refresh(here.refresh_token)) is ErrorCode.UNAUTHENTICATED
    assert house.tokens.verify(elsewhere.access_token).user_id == here.user_id
    assert await house.audit(here.user_id) == ["sign_up", "sign_in", "sign_out"]


async def test_another_process_learns_of_a_revocation_within_seconds(
    house: House, database: Database, settings: Settings
) -> None:
    before = await house.accounts.sign_up(an_email(), PASSWORD)
    await house.accounts.sign_out(before.actor)
    elsewhere = build(database, settings)
    watch = RevocationWatch(database, elsewhere.tokens.revoked)
    closed = asyncio.Queue[UUID]()
    await watch.start()
    assert watch.is_revoked(before.session_id)
    watch.on_revoked(closed.put_nowait)
    ana = await house.accounts.sign_up(an_email(), PASSWORD)
    assert elsewhere.tokens.verify(ana.access_token).user_id == ana.user_id
    async with database.transaction(SERVICE) as transaction:
        await operations.lock_account(transaction, ana.user_id)
    async with asyncio.timeout(5):
        while await closed.get() != ana.session_id:
            pass
    with pytest.raises(DomainError):
        elsewhere.tokens.verify(ana.access_token)
    await watch.stop()
    elsewhere.passwords.close()


async def test_the_watch_survives_a_database_that_fails(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = RevocationWatch(database, house.tokens.revoked, look_every_seconds=0.02)
    closed = asyncio.Queue[UUID]()
    await watch.start()
    watch.on_revoked(closed.put_nowait)
    failures = 0

    async def failing(*_: object) -> list[UUID]:
        nonlocal failures
        failures += 1
        raise OSError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(operations, "list_revoked_sessions", failing)
        ana = await house.accounts.sign_up(an_email(), PASSWORD)
        async with database.transaction(SERVICE) as transaction:
            await operations.revoke_user_sessions(transaction, ana.user_id, "test")
        await asyncio.sleep(0.3)
        assert 2 <= failures <= 6
        assert not watch.is_revoked(ana.session_id)
    async with asyncio.timeout(5):
        while await closed.get() != ana.session_id:
            pass
    assert watch.is_revoked(ana.session_id)
    await watch.stop()
