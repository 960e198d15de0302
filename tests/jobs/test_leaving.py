"""Accounts are erased once, whole and in pieces; archives hold what is theirs, and nothing outlives them."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import tracemalloc
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4
from zipfile import ZipFile

import asyncpg
import pytest

from db.core.actor import SERVICE, Actor
from db.core.commands import call
from db.core.pool import Database
from db.credits.proof import prove_ledger
from db.embedded.database import EmbeddedDatabase
from db.files.storage import (
    Storage,
    archive_path,
    generation_path,
    incoming_path,
    open_storage,
    upload_path,
    user_folders,
    variant_path,
)
from db.leaving import operations
from db.leaving.archives import Archive
from jobs import leaving
from jobs.leaving import delete_user_files, erase_account, erase_due_accounts, export_data
from settings import Settings
from tests.running import ROOT

from ..conftest import MakeUser
from .helpers import (
    FakeProvider,
    MakeServices,
    Someone,
    Start,
    create_generation,
    different,
    eventually,
    finish,
    ready_upload,
    run_generation,
    wallet,
)

NOW, MONTH = timedelta(0), timedelta(days=30)


async def schedule(database: Database, actor: Actor, grace: timedelta = NOW) -> None:
    assert actor.user_id
    async with database.transaction(SERVICE) as transaction:
        await operations.schedule_deletion(transaction, actor.user_id, grace)


async def is_gone(owner: asyncpg.Connection, actor: Actor) -> bool:
    return not await owner.fetchval(
        "select exists (select from users where id = $1)", actor.user_id
    )


async def erased_count(owner: asyncpg.Connection) -> int:
    return int(
        await owner.fetchval("select count(*) from audit_log where action = 'account_erased'")
    )


async def fill_with_rows(owner: asyncpg.Connection, actor: Actor, rows: int = 1_200) -> None:
    """More rows than go in one piece."""
    await owner.execute(
        "insert into notifications (user_id, type, title_key, message_key)"
        " select $1, 'GENERAL', 't', 'm' from generate_series(1, $2::int)",
        actor.user_id, rows,
    )  # fmt: skip
    await owner.execute(
        "insert into profiles (user_id, local_id, analysis)"
        " select $1, n, '{}' from generate_series(1, $2::int) n",
        actor.user_id, rows,
    )  # fmt: skip


async def stored(storage: Storage, actor: Actor) -> list[str]:
    """Every file of a user's."""
    assert actor.user_id
    return [
        meta["path"]
        for folder in user_folders(actor.user_id)
        for chunk in storage._store.list(folder)
        for meta in chunk
    ]


async def test_who_is_due_is_erased_by_the_schedule_and_who_is_not_stays(
    database: Database, owner: asyncpg.Connection, make_user: MakeUser, start: Start
) -> None:
    due, later = await make_user(), await make_user()
    await fill_with_rows(owner, due)
    for actor in (due, later):
        await schedule(database, actor, MONTH)
    await owner.execute(
        "update account_deletions set deletes_at = now() where user_id = $1", due.user_id
    )
    await erase_due_accounts(database)
    start(FakeProvider())
    await eventually(lambda: is_gone(owner, due), 30)
    assert not await is_gone(owner, later)
    assert await owner.fetchval(
        "select began_at is null from account_deletions where user_id = $1", later.user_id
    )
    closed = await owner.fetchrow("select * from wallets where user_id = $1", due.user_id)
    assert (closed["balance"], closed["held"], closed["closed_at"] is None) == (0, 0, False)


async def test_work_under_way_is_called_off_and_its_credits_expire_with_the_rest(
    database: Database,
    owner: asyncpg.Connection,
    someone: Someone,
    services: MakeServices,
    storage: Storage,
) -> None:
    actor, upload = someone
    assert actor.user_id
    running, *_, twin = [
        *await different(database, actor, upload, 4),
        await create_generation(database, actor, upload, parameters={"color": "#000000"}),
    ]
    provider = FakeProvider(seconds=30)
    run = asyncio.create_task(run_generation(services(provider), running))
    await provider.called.wait()
    assert await wallet(owner, actor) == (10, 4)
    assert await owner.fetchval("select follows_id from generations where id = $1", twin) == running

    await schedule(database, actor)
    await erase_account(database, user_id=actor.user_id)
    run.cancel()
    assert await is_gone(owner, actor)
    assert (
        await owner.fetchval("select count(*) from generations where user_id = $1", actor.user_id)
        == 0
    )
    assert await wallet(owner, actor) == (0, 0)
    held = await owner.fetch("select status from credit_holds where user_id = $1", actor.user_id)
    assert {row["status"] for row in held} == {"RELEASED"}
    assert (await prove_ledger(database)).discrepancies == []


async def test_nothing_moves_in_the_wallet_that_is_left(
    database: Database, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor = await make_user()
    assert actor.user_id
    await schedule(database, actor)
    await erase_account(database, user_id=actor.user_id)
    with pytest.raises(asyncpg.PostgresError, match="There is no such user"):
        await owner.execute("select app.grant_credits($1, 'ADMIN', 5)", actor.user_id)
    with pytest.raises(asyncpg.RestrictViolationError):
        await owner.execute(
            "update credit_transactions set reason = null where user_id = $1", actor.user_id
        )


async def test_only_words_are_taken_from_the_history_of_who_leaves(
    database: Database, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor, other = await make_user(), await make_user()
    assert actor.user_id
    await schedule(database, actor)
    await operations.begin_erasing(database, actor.user_id)
    for change in ("amount = amount + 1", "reason = 'another'", "reference_id = 'another'"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await owner.execute(
                f"update credit_transactions set {change} where user_id = $1", actor.user_id
            )
    with pytest.raises(asyncpg.RestrictViolationError):
        await owner.execute("delete from credit_transactions where user_id = $1", actor.user_id)
    with pytest.raises(asyncpg.RestrictViolationError):
        await owner.execute(
            "update credit_transactions set reason = null where user_id = $1", other.user_id
        )


async def test_many_workers_at_once_erase_an_account_once(
    database: Database, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor = await make_user()
    assert actor.user_id
    await fill_with_rows(owner, actor)
    await schedule(database, actor)
    before = await erased_count(owner)
    await asyncio.gather(*(erase_account(database, user_id=actor.user_id) for _ in range(4)))
    await erase_account(database, user_id=actor.user_id)
    assert await is_gone(owner, actor)
    assert await erased_count(owner) == before + 1


async def test_a_killed_workers_account_is_erased_to_its_end_by_another(
    database: Database,
    owner: asyncpg.Connection,
    cluster: EmbeddedDatabase,
    settings: Settings,
    make_user: MakeUser,
    clean_queue: None,
) -> None:
    await owner.execute("delete from account_deletions")  # of other tests, due as well
    actor = await make_user()
    await fill_with_rows(owner, actor)
    before = await erased_count(owner)
    blocker = await asyncpg.connect(cluster.owner_url)
    transaction = blocker.transaction()
    await transaction.start()
    # It stands still in the middle: generations and wallets are behind others.
    await blocker.execute("select from wallets where user_id = $1 for update", actor.user_id)
    await schedule(database, actor)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.jobs.worker_process", cluster.owner_url, "1",
        cwd=ROOT, env={**os.environ, "DATA_DIRECTORY": str(settings.data_directory)},
    )  # fmt: skip

    async def stands_still() -> bool:
        waiting = "select exists (select from pg_locks where $1 = any (pg_blocking_pids(pid)))"
        return bool(await owner.fetchval(waiting, blocker.get_server_pid()))

    try:
        await eventually(stands_still, 30)
    finally:
        process.kill()
        await process.wait()
        await transaction.rollback()
        await blocker.close()
    assert not await is_gone(owner, actor)
    assert await owner.fetchval(
        "select count(*) from notifications where user_id = $1", actor.user_id
    ) in range(1_200)
    assert actor.user_id
    await erase_account(database, user_id=actor.user_id)
    assert await is_gone(owner, actor)
    assert await erased_count(owner) == before + 1


async def test_signing_in_first_or_erasing_first_one_of_them_wins(
    database: Database, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    for _ in range(10):
        actor = await make_user(credits=0)
        assert actor.user_id
        await schedule(database, actor)

        async def sign_in(user_id: UUID = actor.user_id) -> bool:
            async with database.transaction(SERVICE) as transaction:
                row = await transaction.connection.fetchrow(
                    "select from users where id = $1 and status = 'active' for share", user_id
                )
                return row is not None and await operations.cancel_deletion(transaction, user_id)

        kept, begun = await asyncio.gather(
            sign_in(), operations.begin_erasing(database, actor.user_id)
        )
        assert kept is not begun


async def test_every_file_of_who_is_gone_is_gone(
    database: Database,
    owner: asyncpg.Connection,
    make_user: MakeUser,
    stored_anywhere: Settings,
) -> None:
    storage = open_storage(stored_anywhere)
    actor, other = await make_user(), await make_user()
    files = {}
    for one in (actor, other):
        assert one.user_id
        paths = [
            upload_path(one.user_id, uuid4()),
            incoming_path(one.user_id, uuid4()),
            generation_path(one.user_id, uuid4(), "image/png"),
            archive_path(one.user_id, uuid4()),
        ]
        files[one] = [*paths, variant_path(paths[0], 320), variant_path(paths[2], 1280)]
        for path in files[one]:
            await storage.put(path, b"bytes")
    assert sorted(await stored(storage, actor)) == sorted(files[actor])
    await schedule(database, actor)
    assert actor.user_id
    await erase_account(database, user_id=actor.user_id)
    queued = await owner.fetchval(
        "select convert_from(payload, 'UTF8') from queue.pgqueuer where entrypoint = 'delete_user_files'"
        " and dedupe_key = $1", f"files:{actor.user_id}",
    )  # fmt: skip
    await delete_user_files(storage, user_id=UUID(json.loads(queued)["user_id"]))
    await delete_user_files(storage, user_id=actor.user_id)
    assert await stored(storage, actor) == []
    assert sorted(await stored(storage, other)) == sorted(files[other])


async def requested(database: Database, actor: Actor) -> UUID:
    async with database.transaction(actor) as transaction:
        return await call(transaction, operations.request_export())


async def export_row(owner: asyncpg.Connection, export_id: UUID) -> asyncpg.Record:
    return await owner.fetchrow("select * from data_exports where id = $1", export_id)


async def test_an_archive_holds_rows_and_files(
    database: Database,
    owner: asyncpg.Connection,
    stored_anywhere: Settings,
    make_user: MakeUser,
) -> None:
    storage = open_storage(stored_anywhere)
    actor, other = await make_user(), await make_user()
    assert actor.user_id
    photo = await ready_upload(database, storage, actor)
    await finish(database, await create_generation(database, actor, photo))
    for one in (actor, other):
        await fill_with_rows(owner, one, 750)
    export_id = await requested(database, actor)
    assert await requested(database, actor) == export_id
    await export_data(database, storage, export_id=export_id)

    row = await export_row(owner, export_id)
    assert row["status"] == "READY"
    data = await storage.get(row["path"])
    assert len(data) == row["size_bytes"]
    with ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        slices = {
            name.removesuffix(".json"): json.loads(archive.read(name))
            for name in archive.namelist()
            if name.endswith(".json")
        }
        assert archive.read(f"files/{upload_path(actor.user_id, photo)}.jpg") == await storage.get(
            upload_path(actor.user_id, photo)
        )
        assert "manifest.json" in archive.read("README.txt").decode()
    profiles = slices["profiles"]["profiles"]
    assert sorted(profile["local_id"] for profile in profiles) == list(range(1, 751))
    assert {profile["user_id"] for profile in profiles} == {str(actor.user_id)}
    assert [one["id"] for one in slices["accounts"]["users"]] == [str(actor.user_id)]
    assert slices["credits"]["wallets"][0]["balance"] == 9
    assert slices["manifest"]["rows"]["profiles"] == 750
    assert slices["manifest"]["rows"]["notifications"] == 751
    assert (slices["manifest"]["files"], slices["manifest"]["missing_files"]) == (1, [])


async def test_an_archive_takes_no_more_memory_than_a_page(
    database: Database, owner: asyncpg.Connection, storage: Storage, make_user: MakeUser
) -> None:
    actor = await make_user()
    assert actor.user_id
    await owner.execute(
        "insert into profiles (user_id, local_id, analysis, thumbnail)"
        " select $1, n, '{}', repeat(md5(n::text), 8000) from generate_series(1, 70) n",
        actor.user_id,
    )
    tracemalloc.start()
    try:
        await Archive(database, storage, actor.user_id).write(Sink())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (
        await owner.fetchval(
            "select sum(length(thumbnail)) from profiles where user_id = $1", actor.user_id
        )
        > 17_000_000
    )
    assert peak < 13_000_000


class Sink(io.RawIOBase):
    """Takes everything and keeps nothing."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


async def test_a_new_archive_takes_the_place_of_the_one_before(
    database: Database, owner: asyncpg.Connection, storage: Storage, make_user: MakeUser
) -> None:
    actor = await make_user()
    first = await requested(database, actor)
    await export_data(database, storage, export_id=first)
    path = (await export_row(owner, first))["path"]
    second = await requested(database, actor)
    assert second != first
    await export_data(database, storage, export_id=second)
    assert [(await export_row(owner, one))["status"] for one in (first, second)] == [
        "EXPIRED",
        "READY",
    ]
    assert not await storage.exists(path)
    with pytest.raises(asyncpg.PostgresError, match="2 archives a day") as refused:
        await requested(database, actor)
    assert json.loads(refused.value.detail)["retry_after_seconds"] in range(86_000, 86_401)
    await owner.execute(
        "update data_exports set created_at = now() - interval '25 hours' where id = $1", first
    )
    await requested(database, actor)


async def test_an_archive_expires(
    database: Database, owner: asyncpg.Connection, storage: Storage, make_user: MakeUser
) -> None:
    ids = []
    for _ in range(2):
        ids.append(await requested(database, await make_user()))
        await export_data(database, storage, export_id=ids[-1])
    paths = [(await export_row(owner, one))["path"] for one in ids]
    await owner.execute("update data_exports set expires_at = now() where id = $1", ids[0])
    await leaving.expire_exports(database, storage)
    assert [(await export_row(owner, one))["status"] for one in ids] == ["EXPIRED", "READY"]
    assert [await storage.exists(path) for path in paths] == [False, True]


async def test_a_worker_that_was_overtaken_leaves_no_file(
    database: Database,
    owner: asyncpg.Connection,
    storage: Storage,
    make_user: MakeUser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor = await make_user()
    export_id = await requested(database, actor)
    finish_export = operations.finish_export

    async def overtaken(*arguments: Any) -> list[str] | None:
        monkeypatch.setattr(operations, "finish_export", finish_export)
        await export_data(database, storage, export_id=export_id)
        return await finish_export(*arguments)

    monkeypatch.setattr(operations, "finish_export", overtaken)
    await export_data(database, storage, export_id=export_id)
    row = await export_row(owner, export_id)
    assert (row["status"], row["attempts"]) == ("READY", 2)
    assert await stored(storage, actor) == [row["path"]]


async def test_an_archive_of_who_leaves_meanwhile_is_thrown_away(
    database: Database,
    owner: asyncpg.Connection,
    storage: Storage,
    make_user: MakeUser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor = await make_user()
    assert actor.user_id
    export_id = await requested(database, actor)
    put_file = storage.put_file

    async def put_late(*arguments: Any) -> None:
        await schedule(database, actor)
        assert actor.user_id
        await erase_account(database, user_id=actor.user_id)
        await put_file(*arguments)

    monkeypatch.setattr(storage, "put_file", put_late)
    await export_data(database, storage, export_id=export_id)
    assert await export_row(owner, export_id) is None
    assert await stored(storage, actor) == []


async def test_what_no_attempt_can_make_has_failed_and_may_be_asked_for_again(
    database: Database, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor = await make_user()
    export_id = await requested(database, actor)
    await leaving.give_up_export(database, export_id=export_id, error=OSError("full"))
    assert (await export_row(owner, export_id))["status"] == "FAILED"
    assert await requested(database, actor) != export_id


async def test_a_guest_who_was_merged_goes_with_the_account(
    database: Database, owner: asyncpg.Connection, storage: Storage, make_user: MakeUser
) -> None:
    member, guest = await make_user(), await make_user()
    assert member.user_id
    assert guest.user_id
    await owner.execute(
        "update users set is_anonymous = true, email = null, email_key = null where id = $1",
        guest.user_id,
    )
    photo = await ready_upload(database, storage, guest)
    async with database.transaction(SERVICE) as transaction:
        for step in ("lock_for_merge", "merge_guest"):
            await transaction.connection.execute(
                f"select count(*) from app.{step}($1, $2)", guest.user_id, member.user_id
            )
    with pytest.raises(asyncpg.PostgresError, match="part of another account"):
        await schedule(database, guest)
    await schedule(database, member)
    await erase_account(database, user_id=member.user_id)
    assert await storage.exists(upload_path(guest.user_id, photo))
    queued = await owner.fetch(
        "select dedupe_key from queue.pgqueuer where dedupe_key like '%' || $1", str(guest.user_id)
    )
    assert [row["dedupe_key"] for row in queued] == [f"erase:{guest.user_id}"]
    await erase_account(database, user_id=guest.user_id)
    await delete_user_files(storage, user_id=guest.user_id)
    assert await is_gone(owner, guest)
    assert await stored(storage, guest) == []
    assert (await prove_ledger(database)).discrepancies == []
