"""Every command does its work or says in one sentence why not."""

from __future__ import annotations

import secrets
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import jwt
import pytest
from typer.testing import CliRunner

from cli.main import app
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from settings import Settings
from tests.running import RunningServer, run_command

SIGN_UP = """mutation($email: String!) { signUp(input: {email: $email, password: "correct horse"}) {
  session { accessToken refreshToken } errors { code } } }"""
REFRESH = """mutation($token: String!) { refreshSession(input: {refreshToken: $token}) {
  session { accessToken } errors { code } } }"""


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A data directory in which nothing ever ran."""
    return tmp_path / "data"


def assert_one_clear_line(output: str, *parts: str) -> None:
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) == 1, output
    for part in parts:
        assert part in output


def test_help_names_every_command(empty: Path) -> None:
    done = run_command(empty, "--help")
    assert done.returncode == 0
    for command in (
        "dev",
        "serve",
        "worker",
        "migrate",
        "seed",
        "schema",
        "explain",
        "db",
        "users",
        "credits",
        "jobs",
    ):
        assert command in done.stdout


def test_the_committed_schema_is_up_to_date(empty: Path) -> None:
    done = run_command(empty, "schema", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("command", [("db", "url"), ("users", "promote", "a@b.example")])
def test_without_a_database_a_command_says_how_to_start_one(
    empty: Path, command: tuple[str, ...]
) -> None:
    done = run_command(empty, *command)
    assert done.returncode == 1
    assert done.stdout == ""
    assert_one_clear_line(done.stderr, "script/server", "DATABASE_OWNER_URL")


async def test_db_url_is_the_owners_and_no_superusers(server: RunningServer) -> None:
    connection = await asyncpg.connect(server.owner_url)
    row = await connection.fetchrow(
        "select rolsuper, rolbypassrls from pg_roles where rolname = current_user"
    )
    assert tuple(row) == (False, False)
    owner = await connection.fetchval("select tableowner from pg_tables where tablename = 'users'")
    assert owner == await connection.fetchval("select current_user")
    await connection.close()


def test_an_unknown_seed_names_those_there_are(server: RunningServer) -> None:
    done = run_command(server.data_directory, "seed", "nope")
    assert done.returncode == 1
    assert_one_clear_line(done.stderr, "nope", "demo")


def test_seeding_and_migrating_again_change_nothing(server: RunningServer) -> None:
    assert run_command(server.data_directory, "seed", "demo").returncode == 0
    assert run_command(server.data_directory, "migrate").returncode == 0


async def test_a_promoted_user_is_an_admin_in_the_next_token(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:

        async def ask(text: str, **variables: str) -> dict[str, str]:
            body = {"query": text, "variables": variables}
            (payload,) = (await http.post("/graphql", json=body)).json()["data"].values()
            assert payload["errors"] == []
            session: dict[str, str] = payload["session"]
            return session

        email = f"{uuid4()}@example.test"
        first = await ask(SIGN_UP, email=email)
        done = run_command(server.data_directory, "users", "promote", f" {email.upper()}")
        assert done.returncode == 0, done.stderr
        second = await ask(REFRESH, token=first["refreshToken"])
    claims = [
        jwt.decode(session["accessToken"], options={"verify_signature": False})
        for session in (first, second)
    ]
    assert [bool(claim.get("adm")) for claim in claims] == [False, True]


def test_nobody_is_promoted_by_an_unknown_address(server: RunningServer) -> None:
    done = run_command(server.data_directory, "users", "promote", "nobody@example.test")
    assert done.returncode == 1
    assert_one_clear_line(done.stderr, "nobody@example.test")


def test_reset_is_refused_while_the_server_runs(server: RunningServer) -> None:
    done = run_command(server.data_directory, "db", "reset", "--yes")
    assert done.returncode == 1
    assert_one_clear_line(done.stderr, "is running", "script/server")
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_reset_of_nothing_is_done_and_of_production_never(empty: Path) -> None:
    assert run_command(empty, "db", "reset", "--yes").returncode == 0
    done = run_command(empty, "db", "reset", "--yes", **PRODUCTION)
    assert done.returncode == 1
    assert_one_clear_line(done.stderr, "production")


PRODUCTION = {
    "ENVIRONMENT": "production",
    "PUBLIC_URL": "https://api.example",
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "SMTP_URL": "smtp://mail.example",
    "MAIL_FROM": "no-reply@example.test",
    "TRUSTED_PROXIES": "10.0.0.7",
}
KEYS = {
    name: f"{name.lower()}-of-a-test-that-is-long-enough"
    for name in ("SIGNED_URL_KEY", "REFRESH_TOKEN_KEY", "VAULT_MASTER_KEY")
}


@pytest.mark.parametrize(
    ("command", "variables", "parts"),
    [
        ("dev", {"PORT": "abc"}, ["PORT", "integer"]),
        ("serve", {"PORT": "70000"}, ["PORT", "65535"]),
        ("serve", {"ENVIRONMENT": "production"}, ["PUBLIC_URL", "DATABASE_URL"]),
    ],
    ids=["word", "range", "production"],
)
def test_a_wrong_setting_is_one_line_and_status_2(
    empty: Path, command: str, variables: dict[str, str], parts: list[str]
) -> None:
    done = run_command(empty, command, **variables)
    assert done.returncode == 2
    assert_one_clear_line(done.stderr, *parts)


def test_production_refuses_to_start_without_its_own_secrets(empty: Path) -> None:
    for command in ("serve", "worker"):
        done = run_command(empty, command, **PRODUCTION)
        assert done.returncode == 1
        said = done.stderr.splitlines()[-1]
        assert_one_clear_line(said, "secrets", "DATABASE_ANON_PASSWORD", "VAULT_MASTER_KEY")
    assert not (empty / "secrets").exists()


@pytest.fixture
def roles(settings: Settings, database: Database) -> dict[str, str]:
    """The secrets of the test database, as production takes them."""
    names = (
        "database-anon-password",
        "database-authenticated-password",
        "database-service-password",
    )
    return {name.upper().replace("-", "_"): settings.secret(name) for name in names}


async def test_production_refuses_roles_that_could_see_too_much(
    empty: Path, cluster: EmbeddedDatabase, roles: dict[str, str]
) -> None:
    superuser = await asyncpg.connect(cluster.superuser_url)
    await superuser.execute("create role climber_for_test")
    try:
        await superuser.execute("grant climber_for_test to anon")
        variables = {**PRODUCTION, "DATABASE_URL": cluster.owner_url, **roles}
        done = run_command(empty, "serve", **variables, **KEYS)
    finally:
        await superuser.execute("drop role climber_for_test")
        await superuser.close()
    assert done.returncode == 1
    assert_one_clear_line(done.stderr, "anon", "LOGIN role")


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_a_database_that_an_older_release_migrated_is_refused_by_name(
    empty: Path,
    owner: asyncpg.Connection,
    cluster: EmbeddedDatabase,
    roles: dict[str, str],
    command: str,
) -> None:
    function = "app.create_upload(text, bigint)"
    note = await owner.fetchval(f"select obj_description('{function}'::regprocedure, 'pg_proc')")
    variables = {**PRODUCTION, "DATABASE_URL": cluster.owner_url, **roles}
    try:
        await owner.execute(f"comment on function {function} is null")
        done = run_command(empty, command, **variables, **KEYS)
    finally:
        await owner.execute(f"comment on function {function} is '{note}'")
    assert done.returncode == 1
    *_, said = done.stderr.splitlines()
    assert_one_clear_line(said, "older", "app.create_upload", "`tallygraph migrate`")


def test_a_wrong_password_of_a_role_is_one_clear_line(
    empty: Path, cluster: EmbeddedDatabase, roles: dict[str, str]
) -> None:
    variables = {**PRODUCTION, "DATABASE_URL": cluster.owner_url, **roles}
    variables["DATABASE_ANON_PASSWORD"] = wrong = secrets.token_hex(32)
    done = run_command(empty, "serve", **variables, **KEYS)
    assert done.returncode == 1
    *logged, said = done.stderr.splitlines()
    assert_one_clear_line(said, "as anon", "tallygraph migrate")
    assert all("database.no_connection" in line for line in logged)
    assert wrong not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "environment", "reason"),
    [
        ("sparky", "demo", "has no people"),
        ("attuned", "production", "production deployment"),
        ("aura", "production", "production deployment"),
    ],
)
def test_people_of_a_demo_are_of_two_products_and_for_no_production(
    monkeypatch: pytest.MonkeyPatch, name: str, environment: str, reason: str
) -> None:
    settings = Settings.model_construct(environment=environment)
    monkeypatch.setattr("cli.main.get_settings", lambda: settings)
    done = CliRunner().invoke(app, ["seed", name, "--demo"])
    assert done.exit_code == 1
    assert reason in done.output
