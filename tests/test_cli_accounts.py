"""What an operator does to accounts on the command line, against the database that tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from auth.passwords import PasswordHasher
from cli.main import app
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from settings import get_settings

PASSWORD = "correct horse"
Run = Callable[..., Result]


@pytest.fixture
def run(
    cluster: EmbeddedDatabase,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Run]:
    """`run("users", "show", …)` runs a command in this process, on the migrated database."""
    monkeypatch.setenv("DATABASE_OWNER_URL", cluster.owner_url)
    monkeypatch.setenv("COLUMNS", "200")
    get_settings.cache_clear()

    def command(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(app, arguments, input=typed)

    yield command
    get_settings.cache_clear()


@pytest.fixture
def email() -> str:
    """An address that nobody has."""
    return f"ada.{uuid4().hex}@example.test"


def read[T](
    cluster: EmbeddedDatabase, work: Callable[[asyncpg.Connection], Coroutine[Any, Any, T]]
) -> T:
    """What a query of the owner's gives."""

    async def connected() -> T:
        connection = await asyncpg.connect(cluster.owner_url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(connected())


def one_line(result: Result, *parts: str) -> None:
    """A refusal: status 1, and one sentence."""
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr


def created(run: Run, email: str, *options: str) -> str:
    """An account that was opened on the command line; gives its global id."""
    done = run("users", "create", email, "--password-stdin", *options, typed=f"{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    return done.stderr.strip().rpartition(" ")[2]


async def is_right(password_hash: str, password: str) -> bool:
    hasher = PasswordHasher()
    try:
        return (await hasher.verify(password_hash, password)).ok
    finally:
        hasher.close()


def test_an_account_is_opened_shown_and_given_another_password(
    run: Run, cluster: EmbeddedDatabase, email: str
) -> None:
    user_id = created(run, email, "--name", "Ada", "--unconfirmed")
    shown = run("users", "show", user_id).stdout
    for line in ("Confirmed       no", "Password        set", "Second factors  none", "Ada"):
        assert line in shown
    assert run("users", "confirm-email", email).stderr.endswith("has a confirmed address now.\n")
    assert run("users", "confirm-email", email).stderr.endswith("had confirmed it already.\n")
    assert run("users", "send-reset", email).exit_code == 0
    changed = run("users", "set-password", email, "--password-stdin", typed="another horse\n")
    assert changed.exit_code == 0, changed.output
    key = UUID(user_id.removeprefix("user_"))

    async def stored(owner: asyncpg.Connection) -> tuple[str, list[str], list[str]]:
        return (
            await owner.fetchval("select password_hash from credentials where user_id = $1", key),
            [
                row["action"]
                for row in await owner.fetch(
                    "select action from audit_log where user_id = $1 and detail ? 'by' order by id",
                    key,
                )
            ],
            [
                row["template"]
                for row in await owner.fetch(
                    "select template from emails where user_id = $1 order by id", key
                )
            ],
        )

    password_hash, noted, mailed = read(cluster, stored)
    assert asyncio.run(is_right(password_hash, "another horse"))
    assert noted == ["create_user", "email_confirmed", "reset_code_sent", "password_set"]
    assert mailed == ["reset_password", "password_changed"]


def test_what_is_wrong_with_a_new_account_is_said_before_a_password_is_asked_for(
    run: Run, email: str
) -> None:
    one_line(run("users", "create", "nobody"), "e-mail address")
    created(run, email)
    one_line(run("users", "create", email.upper()), "tallygraph users show")
    other = f"x{email}"
    one_line(run("users", "create", other, typed=PASSWORD), "--password-stdin")
    weak = run("users", "create", other, "--password-stdin", typed="password1\n")
    one_line(weak, "choose another one")
    one_line(run("users", "create", other, "--password-stdin"), "first line")
    several = run("users", "create", "nobody", "--name", "", "--locale", "x")
    assert several.exit_code == 1
    assert len(several.stderr.strip().splitlines()) == 3
    assert run("users", "create", other, "--no-password").exit_code == 0
    assert "Password        none" in run("users", "show", other).stdout


def test_sessions_are_listed_and_ended(run: Run, cluster: EmbeddedDatabase, email: str) -> None:
    user_id = created(run, email)
    assert "is signed in nowhere" in run("users", "sessions", email).stderr
    key = UUID(user_id.removeprefix("user_"))

    async def sign_in(owner: asyncpg.Connection) -> list[str]:
        return [
            f"session_{row['id']}"
            for row in await owner.fetch(
                "insert into sessions (user_id, expires_at, user_agent, address)"
                " select $1, now() + interval '1 day', 'Firefox', '203.0.113.0/24'"
                " from generate_series(1, 2) returning id",
                key,
            )
        ]

    first, second = read(cluster, sign_in)
    listed = run("users", "sessions", email).stdout
    assert first in listed
    assert "203.0.113.0/24" in listed
    ended = run("users", "sign-out", email, "--session", second)
    assert "1 session ended" in ended.stderr
    assert second not in run("users", "sessions", email).stdout
    one_line(run("users", "sign-out", email, "--session", f"session_{uuid4()}"), "no such session")
    one_line(run("users", "sign-out", email, "--session", "x"), "tallygraph users sessions")
    assert "1 session ended" in run("users", "sign-out", user_id).stderr
    assert "0 sessions ended" in run("users", "sign-out", user_id).stderr


def test_an_account_says_when_it_is_deleted_and_what_it_asks_for(
    run: Run, cluster: EmbeddedDatabase, email: str
) -> None:
    user_id = created(run, email)
    key = UUID(user_id.removeprefix("user_"))

    async def enrol(owner: asyncpg.Connection) -> None:
        await owner.execute(
            "insert into totp_factors (user_id, sealed_secret, confirmed_at)"
            " values ($1, '', now())",
            key,
        )
        await owner.execute(
            "insert into recovery_codes (user_id, code_hashes, codes_left)"
            " values ($1, array['x', 'y']::bytea[], 2)",
            key,
        )

    read(cluster, enrol)
    assert run("users", "delete", email, "--days", "3", "--yes").exit_code == 0
    shown = run("users", "show", email).stdout
    assert "authenticator app, 2 recovery codes" in shown
    assert "Status          deleted at " in shown
    assert "deleted at " in run("users", "list", "--search", email).stdout


@pytest.mark.parametrize(
    "command",
    [
        ("users", "delete"), ("users", "show"), ("users", "set-password"), ("users", "send-reset"),
        ("users", "sessions"), ("users", "sign-out"), ("users", "confirm-email"),
        ("users", "remove-second-factors"), ("users", "lock"), ("api-keys", "list"),
        ("payments", "show"), ("plans", "show"), ("credits", "show"),
    ],
)  # fmt: skip
def test_an_unknown_account_is_named_before_anything_is_asked(
    run: Run, command: tuple[str, str]
) -> None:
    for who, sentence in (
        ("nobody@example.test", "Nobody has the e-mail nobody@example.test."),
        (f"user_{UUID(int=1)}", f"Nobody has the id user_{UUID(int=1)}."),
        ("nonsense", "nonsense is neither an e-mail nor an id"),
    ):
        one_line(run(*command, who), sentence)


def test_who_signed_up_and_waits_for_a_code_is_not_nobody(
    run: Run, cluster: EmbeddedDatabase, email: str
) -> None:
    async def wait(owner: asyncpg.Connection) -> None:
        await owner.execute(
            "insert into pending_sign_ups"
            " (email, email_key, network_hash, password_hash, expires_at)"
            " values ($1, $1, '', 'x', now() + interval '1 hour')",
            email,
        )

    read(cluster, wait)
    one_line(run("users", "confirm-email", email), "Somebody signed up with it", "users create")


def test_what_fits_nothing_there_is_is_refused_with_what_there_is(run: Run) -> None:
    one_line(run("webhooks", "list", "--provider", "pay-pal"), "sandbox", "paymob")
    one_line(run("webhooks", "list", "--status", "lost"), "QUARANTINED")
    one_line(run("quotas", "set", "profile", "MEMBER", "--rows", "1"), "profiles")
    one_line(run("credits", "unlimited", "a@b.test", "--reason", " "), "--reason needs a text")
    url = "postgresql://127.0.0.1:1/none"
    one_line(run("import", "users", url), "The source does not answer")
    one_line(run("import", "users", url, "--report", "/none/report.csv"), "no folder /none")
