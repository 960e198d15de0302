"""What every test stands on: a real, migrated Postgres per worker, and actors to act with."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from auth import passwords
from db.core.actor import SERVICE, Actor
from db.core.pool import Database
from db.core.seeding import load_seed
from db.embedded.database import EmbeddedDatabase, destroy_embedded, start_embedded
from db.migrations.migrate import migrate
from graph.shared import steps
from settings import Settings, get_settings
from tests.prepared import prepare, remove_prepared
from tests.quickened import GREEDY_RESTS, HASH_COSTS, quicken
from tests.running import RunningServer, running_server

# Every test calls from one address. Those of budgets have settings of their own.
os.environ |= dict.fromkeys(
    (
        "GUEST_BONUSES_PER_HOUR",
        "SIGN_UP_BONUSES_PER_HOUR",
        "ACCOUNTS_PER_HOUR",
        "EMAIL_IN_USE_ANSWERS_PER_HOUR",
        "MUTATIONS_PER_USER",
        "MUTATIONS_PER_ADDRESS",
    ),
    "100000",
)
os.environ |= dict.fromkeys(("QUERY_COST_PER_USER", "QUERY_COST_PER_ADDRESS"), "1000000000")

# The least that is allowed: making a key takes longer than most tests.
os.environ["VAULT_KEY_ROUNDS"] = "100000"

quicken()

MakeUser = Callable[..., Awaitable[Actor]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --nightly for the long property and fault runs."""
    parser.addoption("--nightly", action="store_true", help="run the long profiles as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the nightly profile out unless it was asked for."""
    if not config.getoption("--nightly"):
        chosen = [item for item in items if "nightly" not in item.keywords]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def pytest_collection_finish() -> None:
    """Takes the tests themselves from the garbage collector: they stay, and are very many."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In continuous integration a skipped test is a failed one: there everything is installed."""
    report: pytest.TestReport = yield  # type: ignore[assignment, misc]
    if report.skipped and os.environ.get("TALLYGRAPH_CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and here nothing may be: {report.longrepr}"
    return report  # type: ignore[return-value]


def pytest_sessionfinish() -> None:
    """Removes the database that others were copied from."""
    remove_prepared()


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Writes a line that is seen while the test runs: the progress and the figures of a long one."""
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(text, flush=True)

    return line


@pytest.fixture
def real_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has passwords hashed at the cost that people's have."""
    for name, cost in HASH_COSTS.items():
        monkeypatch.setattr(passwords, name, cost)


@pytest.fixture
def real_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has who has used much of the event loop wait as they do elsewhere."""
    monkeypatch.setattr(steps, "GREEDY_RESTS", GREEDY_RESTS)


@pytest.fixture
def prepared_benches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has benchmarks begin as tests do; the nightly profile starts them as their users do."""
    from tests.benches import prepare_benches

    if not request.config.getoption("--nightly"):
        prepare_benches(monkeypatch)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of this worker's deployment, with a data directory of its own."""
    folder: Path = tmp_path_factory.mktemp("deployment") / "data"
    os.environ["DATA_DIRECTORY"] = str(folder)
    get_settings.cache_clear()
    return get_settings()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The whole product in a process of its own: API, worker and embedded database."""
    with running_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def server_url(server: RunningServer) -> str:
    """Where that server listens."""
    return server.url


@pytest.fixture(scope="session")
def cluster(settings: Settings) -> Iterator[EmbeddedDatabase]:
    """An embedded Postgres of this worker's own."""
    prepare(settings)
    embedded = start_embedded(settings, durable=False)
    yield embedded
    embedded.stop()
    destroy_embedded(settings)


@pytest.fixture(scope="session")
async def database(cluster: EmbeddedDatabase, settings: Settings) -> AsyncIterator[Database]:
    """The migrated database, with the demo's catalog, through the server's own pools."""
    owner = await asyncpg.connect(cluster.owner_url)
    await owner.execute("create database migrated template tallygraph")
    await owner.close()
    await migrate(cluster.owner_url, settings)
    await load_seed(cluster.owner_url, "demo")
    await add_switched_off_tool(cluster.owner_url)
    database = await Database.connect(cluster.owner_url, settings)
    yield database
    await database.close()


async def add_switched_off_tool(owner_url: str) -> None:
    """Adds the tool `switched-off`, which is."""
    connection = await asyncpg.connect(owner_url)
    await connection.execute(
        "insert into tools (id, name_key, description_key, type, icon_name, is_active, sort_order)"
        " values ('switched-off', 'n', 'd', 'FILTER', 'Icon', false, 1000) on conflict do nothing"
    )
    await connection.close()


@pytest.fixture(scope="session")
def bucket_endpoint() -> Iterator[str]:
    """A server of this worker's own that speaks S3."""
    from tests.buckets import bucket_server

    with bucket_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "bucket"])
def stored_anywhere(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings) -> Settings:
    """This worker's settings with a storage of its own, once in a folder and once in a bucket."""
    from tests.buckets import new_bucket

    endpoint = request.param == "bucket" and request.getfixturevalue("bucket_endpoint")
    url = new_bucket(endpoint) if endpoint else ""
    return settings.model_copy(update={"storage_url": url, "data_directory": tmp_path / "my data"})


@pytest.fixture
async def owner(cluster: EmbeddedDatabase, database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the tables' owner, whom row-level security does not bind."""
    connection = await asyncpg.connect(cluster.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
def make_user(database: Database) -> MakeUser:
    """Makes users with a wallet: `await make_user(credits=10)`. They have signed in just now."""

    async def make(credits: int = 10) -> Actor:
        from sqlalchemy import text

        user_id: UUID = uuid4()
        async with database.transaction(SERVICE) as transaction:
            await transaction.execute(
                text("insert into users (id, email, email_key) values (:id, :email, :email)"),
                id=user_id,
                email=f"{user_id}@example.test",
            )
            if credits:
                await transaction.fetch_value(
                    text("select app.grant_credits(:id, 'ADMIN', :credits)"),
                    id=user_id,
                    credits=credits,
                )
        return Actor("authenticated", user_id, authenticated_at=int(time.time()))

    return make
