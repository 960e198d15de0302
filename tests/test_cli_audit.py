"""The operator reads the audit log, filtered and as it goes on, each entry on one line."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
import typer

from cli.audit import action_named, as_text, since_when
from db.audit.reading import AuditFilter, AuditLine, follow_audit, read_audit
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from tests.running import run_command

from .conftest import MakeUser

WRITE = "insert into audit_log (user_id, action, detail, created_at) values ($1, $2, '{}', $3)"


async def test_entries_are_filtered_and_the_newest_come_last(
    cluster: EmbeddedDatabase, owner: asyncpg.Connection, make_user: MakeUser, tmp_path: Path
) -> None:
    user, now = await make_user(credits=0), datetime.now(UTC)
    for days, action in ((3, "sign_up"), (2, "sign_in"), (1, "sign_out")):
        await owner.execute(WRITE, user.user_id, action, now - timedelta(days=days))
    who = f"user_{user.user_id}"

    async def actions(wanted: AuditFilter, limit: int = 10) -> list[str]:
        return [line.action for line in await read_audit(cluster.owner_url, wanted, limit)]

    assert await actions(AuditFilter(who)) == ["sign_up", "sign_in", "sign_out"]
    assert await actions(AuditFilter(who), 2) == ["sign_in", "sign_out"]
    assert await actions(AuditFilter(who, "sign_in")) == ["sign_in"]
    assert await actions(AuditFilter(who, since=since_when("36h"))) == ["sign_out"]
    arguments = ("audit", "--user", who, "--action", "SIGN-IN", "--since", "7d")
    done = run_command(tmp_path, *arguments, DATABASE_OWNER_URL=cluster.owner_url)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
    assert f"sign_in                 {user.user_id}@example.test" in done.stdout
    for wrong in (("--action", "sing_in"), ("--since", "yesterday"), ("--user", "nobody@x.test")):
        done = run_command(tmp_path, "audit", *wrong, DATABASE_OWNER_URL=cluster.owner_url)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr


async def test_following_misses_nothing_that_commits_late_and_doubles_nothing(
    cluster: EmbeddedDatabase,
    database: Database,
    owner: asyncpg.Connection,
    make_user: MakeUser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("db.audit.reading.LOOK_EVERY_SECONDS", 0.02)
    user, seen = await make_user(credits=0), asyncio.Queue[str]()
    note = "insert into audit_log (user_id, action) values ($1, $2)"
    await owner.execute(note, user.user_id, "sign_up")

    async def follow() -> None:
        wanted = AuditFilter(str(user.user_id))
        async for line in follow_audit(cluster.owner_url, wanted, 10):
            seen.put_nowait(line.action)

    following = asyncio.create_task(follow())
    try:
        assert await asyncio.wait_for(seen.get(), 20) == "sign_up"
        late = await asyncpg.connect(cluster.owner_url)
        transaction = late.transaction()
        await transaction.start()
        await late.execute(note, user.user_id, "sign_in")
        await owner.execute(note, user.user_id, "sign_out")
        assert await asyncio.wait_for(seen.get(), 20) == "sign_out"
        await transaction.commit()
        await late.close()
        assert await asyncio.wait_for(seen.get(), 20) == "sign_in"
        await asyncio.sleep(0.2)
        assert seen.empty()
    finally:
        following.cancel()
        await asyncio.wait([following])


def test_a_line_holds_whatever_is_in_it() -> None:
    line = AuditLine(
        7, datetime(2026, 11, 27, 20, 15, tzinfo=UTC), "sign_in_failed", "password", 27,
        "203.0.113.0/24", "curl\x1b[31m", {"reason": "a\nb"}, UUID(int=1), None, True,
    )  # fmt: skip
    text = as_text(line)
    assert text.isprintable()
    assert text.startswith("2026-11-27 20:15:00  sign_in_failed ×27")
    assert f"user_{UUID(int=1)} (guest)" in text
    assert "reason=a b" in text


def test_what_is_no_time_or_action_is_refused() -> None:
    assert since_when("2026-11-27") == datetime(2026, 11, 27, tzinfo=UTC)
    assert since_when("2026-11-27T20:15+02:00") == datetime(2026, 11, 27, 18, 15, tzinfo=UTC)
    assert abs(datetime.now(UTC) - timedelta(minutes=90) - since_when("90m")) < timedelta(minutes=1)
    assert action_named(" Sign-In ") == "sign_in"
    for text in ("", "7", "7y", "-1d", "99999999999d"):
        with pytest.raises(typer.BadParameter):
            since_when(text)
