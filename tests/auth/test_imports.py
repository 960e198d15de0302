"""Users of Supabase Auth come with all that is theirs, once, whoever is interrupted how often."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import bcrypt
import orjson
import pytest

from auth.sessions import SignedIn
from db.core.errors import DomainError
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.imports.importing import ImportOptions, ImportReport, SourceRow, import_users
from db.imports.rules import HIGHEST_COST, NewImport, Refused, decide_import
from db.imports.sources import from_database, from_files
from tests.running import run_command

from ..db.rows import scratch_database
from .services import AuthServices

HASH = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
NOW = datetime.now(UTC)
OPTIONS = ImportOptions("ops@host")
# The columns of GoTrue's own migrations that are read.
SUPABASE = """
create schema auth;
create table auth.users (
    id uuid primary key, email varchar(255), encrypted_password varchar(255), phone text,
    email_confirmed_at timestamptz, banned_until timestamptz, deleted_at timestamptz,
    raw_user_meta_data jsonb, raw_app_meta_data jsonb, created_at timestamptz,
    is_sso_user boolean not null default false, is_anonymous boolean not null default false);
create table auth.identities (
    id uuid primary key default gen_random_uuid(), user_id uuid not null references auth.users,
    provider text not null, provider_id text not null, identity_data jsonb not null);
"""


def row(**changed: Any) -> dict[str, Any]:
    """A row of `auth.users`."""
    return {
        "id": str(uuid4()),
        "email": f"{uuid4().hex}@example.test",
        "encrypted_password": HASH,
        "email_confirmed_at": "2024-05-01T10:00:00+00:00",
        "created_at": "2023-01-02 03:04:05.678901+00",
        "raw_user_meta_data": {"full_name": "Ada Lovelace"},
        **changed,
    }


async def once(*rows: dict[str, Any]) -> AsyncIterator[list[SourceRow]]:
    yield [(one, ()) for one in rows]


@pytest.fixture
async def bring(
    cluster: EmbeddedDatabase, database: Database, owner: asyncpg.Connection
) -> AsyncIterator[Any]:
    """Imports rows; other tests find none of their hashes."""

    async def run(*rows: dict[str, Any], options: ImportOptions = OPTIONS) -> ImportReport:
        return await import_users(cluster.owner_url, once(*rows), options)

    yield run
    await owner.execute("delete from credentials where password_hash like '$2%'")


async def test_a_user_comes_with_id_password_name_and_metadata_and_without_a_bonus(
    bring: Any, owner: asyncpg.Connection, services: AuthServices
) -> None:
    ada = row(email="  Ada@Example-Import.TEST ", raw_app_meta_data={"provider": "email"})
    report = await bring(ada)
    assert (report.read, report.imported, report.refused) == (1, 1, [])
    user = await owner.fetchrow("select * from users where id = $1", UUID(ada["id"]))
    assert (user["email"], user["email_key"]) == (
        "Ada@Example-Import.TEST",
        "ada@example-import.test",
    )
    assert (user["display_name"], user["status"]) == ("Ada Lovelace", "active")
    assert user["created_at"] == datetime.fromisoformat("2023-01-02T03:04:05.678901+00:00")
    assert user["email_confirmed_at"] == datetime.fromisoformat("2024-05-01T10:00:00+00:00")
    wallet = "select balance from wallets where user_id = $1"
    assert await owner.fetchval(wallet, user["id"]) == 0
    known = await owner.fetchval(
        "select metadata from imported_users where user_id = $1", user["id"]
    )
    assert orjson.loads(known)["raw_user_meta_data"] == {"full_name": "Ada Lovelace"}
    assert (
        await owner.fetchval(
            "select detail ->> 'by' from audit_log where user_id = $1 and action = 'imported'",
            user["id"],
        )
        == "ops@host"
    )
    assert not await owner.fetchval("select count(*) from emails where user_id = $1", user["id"])
    signed_in = await services.accounts.sign_in("ada@example-import.test", "correct horse")
    assert isinstance(signed_in, SignedIn)
    assert signed_in.user_id == user["id"]


async def test_running_it_again_doubles_nothing_and_brings_what_is_new(
    bring: Any, owner: asyncpg.Connection, services: AuthServices
) -> None:
    ada, bob = row(), row()
    await bring(ada, options=ImportOptions("ops@host", with_bonus=True))
    balance = "select balance from wallets where user_id = $1"
    bonus = await owner.fetchval("select bonus_credits from sign_up_terms")
    other = bcrypt.hashpw(b"another one", bcrypt.gensalt(4)).decode()
    again = await bring({**ada, "encrypted_password": other}, bob)
    assert (again.imported, again.already_there, again.passwords_renewed) == (1, 1, 1)
    assert await owner.fetchval(balance, UUID(ada["id"])) == bonus
    await services.accounts.sign_in(ada["email"], "another one")
    # Who has been here chooses their password here.
    last = await bring(ada, bob)
    assert (last.imported, last.already_there, last.passwords_renewed) == (0, 2, 0)
    stored = "select password_hash from credentials where user_id = $1"
    assert (await owner.fetchval(stored, UUID(ada["id"]))).startswith("$argon2id$")
    noted = "select count(*) from audit_log where user_id = $1 and action = 'imported'"
    assert await owner.fetchval(noted, UUID(ada["id"])) == 1


async def test_a_dry_run_tells_the_same_and_changes_nothing(
    bring: Any, owner: asyncpg.Connection
) -> None:
    ada, double = row(), row()
    rows = (ada, {**double, "email": ada["email"].upper()}, row(phone="1", email=None))
    tried = await bring(*rows, options=ImportOptions("ops@host", is_dry_run=True))
    assert not await owner.fetchval("select count(*) from users where id = $1", UUID(ada["id"]))
    done = await bring(*rows)
    assert (tried.imported, tried.refused) == (done.imported, done.refused)
    assert (done.imported, len(done.refused)) == (1, 2)


async def test_addresses_and_ids_of_others_stay_theirs(
    bring: Any, owner: asyncpg.Connection, make_user: Any
) -> None:
    here = await make_user(credits=0)
    email = await owner.fetchval("select email from users where id = $1", here.user_id)
    report = await bring(row(email=email.upper()), row(id=str(here.user_id)))
    assert [one.reason for one in report.refused] == [
        "the e-mail address is another account's",
        "the id is an account's that was not imported",
    ]
    assert not await owner.fetchval(
        "select count(*) from credentials where user_id = $1", here.user_id
    )


async def test_confirmation_locale_and_a_free_username_come_along(
    bring: Any, owner: asyncpg.Connection
) -> None:
    name = f"ada.{uuid4().hex[:12]}"
    said = {"username": name, "locale": "pt_br"}
    ada = row(raw_user_meta_data=said)
    double = row(raw_user_meta_data={"username": name.upper()}, email_confirmed_at=None)
    admin = row(raw_user_meta_data={"user_name": "admin", "lang": "?"})
    assert (await bring(ada, double, admin)).imported == 3
    assert (await bring(row(raw_user_meta_data=said))).imported == 1
    found = {
        str(one["id"]): (one["username"], one["locale"], one["email_confirmed_at"])
        for one in await owner.fetch("select * from users where lower(username) = $1", name)
    }
    assert [*found] in ([ada["id"]], [double["id"]])
    confirmed = datetime.fromisoformat("2024-05-01T10:00:00+00:00")
    of_all = "select locale, email_confirmed_at from users where id = $1"
    assert tuple(await owner.fetchrow(of_all, UUID(ada["id"]))) == ("pt-BR", confirmed)
    assert tuple(await owner.fetchrow(of_all, UUID(double["id"]))) == (None, None)
    assert tuple(await owner.fetchrow(of_all, UUID(admin["id"]))) == (None, confirmed)


async def test_identities_come_along_and_none_is_taken_from_another_account(
    bring: Any, cluster: EmbeddedDatabase, owner: asyncpg.Connection
) -> None:
    subject = uuid4().hex
    of_ada = {"provider": "google", "provider_id": subject, "identity_data": {"name": "Ada"}}
    ada, thief = row(), row()

    async def batches() -> AsyncIterator[list[SourceRow]]:
        yield [(ada, (of_ada,))]
        yield [(thief, (of_ada,))]

    assert (await import_users(cluster.owner_url, batches(), OPTIONS)).imported == 2
    found = await owner.fetch(
        "select user_id, provider, name from user_identities where subject = $1", subject
    )
    assert [tuple(one) for one in found] == [(UUID(ada["id"]), "google", "Ada")]


async def test_guests_come_as_guests_and_who_is_banned_comes_locked(
    bring: Any, owner: asyncpg.Connection
) -> None:
    guest = row(email=None, encrypted_password="", is_anonymous=True)
    banned = row(banned_until="2999-01-01T00:00:00+00:00")
    was_banned = row(banned_until="2020-01-01T00:00:00+00:00")
    report = await bring(guest, banned, was_banned)
    assert report.imported == 3
    found = await owner.fetch(
        "select is_anonymous, status from users where id = any($1) order by is_anonymous, status",
        [UUID(one["id"]) for one in (guest, banned, was_banned)],
    )
    assert [tuple(one) for one in found] == [(False, "active"), (False, "locked"), (True, "active")]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"id": "7"}, "the id is no UUID"),
        ({"email": "no address"}, "the e-mail address is none"),
        ({"email": "", "phone": "+491701234567"}, "has a phone number only"),
        ({"email": None}, "has no e-mail address"),
        ({"deleted_at": "2024-01-01T00:00:00Z"}, "deleted"),
        ({"is_sso_user": "t"}, "signs in by SSO, which has no counterpart here"),
        (
            {"encrypted_password": "$argon2id$v=19$m=1,t=1,p=1$YQ$YQ"},
            f"the password's hash is not bcrypt of a cost from 4 to {HIGHEST_COST}",
        ),
        (
            {"encrypted_password": HASH.replace("$04$", "$31$")},
            f"the password's hash is not bcrypt of a cost from 4 to {HIGHEST_COST}",
        ),
        ({"created_at": "yesterday"}, "created_at is no time"),
        ({"raw_user_meta_data": "{"}, "raw_user_meta_data is no JSON"),
    ],
)
def test_who_is_not_taken_is_told_why(changed: dict[str, Any], reason: str) -> None:
    decided = decide_import(row(**changed), (), NOW)
    assert isinstance(decided, Refused)
    assert decided.reason == reason


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"name": "Grace"}, "Grace"),
        ({"display_name": " ", "full_name": "Grace\nHopper"}, "Grace Hopper"),
        ({"name": 7}, None),
        ({"name": "x" * 300}, "x" * 100),
        ({}, None),
    ],
)
def test_a_name_is_one_visible_line(metadata: dict[str, Any], name: str | None) -> None:
    decided = decide_import(row(raw_user_meta_data=metadata), (), NOW)
    assert isinstance(decided, NewImport)
    assert decided.display_name == name


def test_identities_of_old_and_new_projects_are_read() -> None:
    data = {"sub": "110", "email": "ada@example.test", "email_verified": True, "name": "Ada"}
    rows = (
        {"provider": "google", "provider_id": "110", "identity_data": data},
        {"provider": "apple", "id": "001.a", "identity_data": '{"sub": "001.a"}'},
        {"provider": "email", "provider_id": str(uuid4()), "identity_data": {}},
    )
    decided = decide_import(row(), rows, NOW)
    assert isinstance(decided, NewImport)
    found = [(one.provider, one.subject, one.is_email_verified) for one in decided.identities]
    assert found == [("google", "110", True), ("apple", "001.a", False)]


async def test_a_projects_database_is_read_in_batches(
    cluster: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.imports.sources.BATCH_ROWS", 2)
    async with scratch_database(cluster, "supabase") as url:
        project = await asyncpg.connect(url)
        await project.execute(SUPABASE)
        ids = sorted(uuid4() for _ in range(5))
        await project.executemany(
            "insert into auth.users (id, email) values ($1, $1::uuid::text || '@example.test')",
            [(one,) for one in ids],
        )
        await project.execute(
            "insert into auth.identities (user_id, provider, provider_id, identity_data)"
            " values ($1, 'google', '110', '{}')",
            ids[3],
        )
        batches = [batch async for batch in from_database(url)]
        await project.execute("drop schema auth cascade")
        with pytest.raises(DomainError, match=r"auth\.users"):
            _ = [batch async for batch in from_database(url)]
        await project.close()
    assert [len(batch) for batch in batches] == [2, 2, 1]
    read = [(UUID(user["id"]), len(found)) for batch in batches for user, found in batch]
    assert read == [(one, int(one == ids[3])) for one in ids]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda url: "postgresql://ada:secret-word@127.0.0.1:1/none", "does not answer"),
        (lambda url: "postgresql://ada:secret-word@nowhere.invalid/none", "does not answer"),
        (lambda url: f"{url}_none", "no database of the name"),
        (lambda url: url.replace("@", "-wrong@"), "refused the user or the password"),
    ],
    ids=["port", "host", "database", "password"],
)
async def test_what_is_wrong_with_the_source_is_said_of_the_source(
    cluster: EmbeddedDatabase, change: Callable[[str], str], sentence: str
) -> None:
    with pytest.raises(DomainError, match=sentence) as refused:
        _ = [batch async for batch in from_database(change(cluster.owner_url))]
    assert "source" in refused.value.message.lower()
    assert "secret-word" not in refused.value.message


async def test_a_file_is_imported_by_the_command_and_the_rest_is_reported(
    bring: Any, cluster: EmbeddedDatabase, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    rows = [row(raw_user_meta_data='{"full_name": "Ada, of \\"Lovelace\\""}'), row(email="none")]
    users, report = tmp_path / "users.csv", tmp_path / "report.csv"
    with users.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    arguments = ("import", "users", str(users), "--report", str(report))
    done = run_command(tmp_path, *arguments, DATABASE_OWNER_URL=cluster.owner_url)
    assert done.returncode == 0, done.stderr
    assert "1  imported" in done.stdout
    assert "1  the e-mail address is none" in done.stdout
    name = "select display_name from users where id = $1"
    assert await owner.fetchval(name, UUID(rows[0]["id"])) == 'Ada, of "Lovelace"'
    assert report.read_text().splitlines()[1] == f"{rows[1]['id']},the e-mail address is none"
    missing = tmp_path / "missing.csv"
    missing.write_text("id,email\n")
    with pytest.raises(DomainError, match="encrypted_password"):
        _ = [batch async for batch in from_files(missing, None)]
    wrong = run_command(
        tmp_path, "import", "users", "none.csv", DATABASE_OWNER_URL="postgresql:///x"
    )
    assert (wrong.returncode, len(wrong.stderr.strip().splitlines())) == (1, 1)
