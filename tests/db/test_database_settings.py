"""What the database is set to: its cache, what its log tells of slow statements, and TLS to it."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase, _options
from db.embedded.tuning import LEAST_BYTES, MOST_BYTES, buffers_bytes, memory_bytes
from db.migrations.functions import ForeignDatabaseError
from db.migrations.migrate import refuse_old_server
from settings import Settings

CANARY = "canary-81d2"
GIBIBYTE = 1 << 30


def test_requirement_1_1_an_older_postgres_is_refused_before_anything_is_changed() -> None:
    refuse_old_server(16)
    with pytest.raises(ForeignDatabaseError, match="16 is the oldest"):
        refuse_old_server(15)


async def test_requirement_1_2_nothing_is_opened_by_functions_of_the_database(
    owner: asyncpg.Connection,
) -> None:
    extensions = await owner.fetch("select extname from pg_extension")
    assert "pgcrypto" not in [row["extname"] for row in extensions]
    opening = (
        "select count(*) from pg_proc where prosrc ~* '(pgp_|de|en)crypt' and proname !~ '^pg_'"
    )
    assert await owner.fetchval(opening) == 0


async def test_requirement_8_6_each_role_has_ten_connections_at_the_least(
    cluster: EmbeddedDatabase, settings: Settings
) -> None:
    assert Settings.model_fields["pool_size"].default == 10
    database = await Database.connect(
        cluster.owner_url, settings.model_copy(update={"pool_size": 10})
    )
    try:
        async with AsyncExitStack() as stack:
            held = [
                await stack.enter_async_context(database.pools["service"].connection())
                for _ in range(10)
            ]
            backends = {await one.raw.fetchval("select pg_backend_pid()") for one in held}
        assert len(backends) == 10
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("memory", "chosen", "wanted"),
    [
        (0, 0, LEAST_BYTES),
        (4 * GIBIBYTE, 0, GIBIBYTE),
        (256 * GIBIBYTE, 0, MOST_BYTES),
        (4 * GIBIBYTE, 300, 300 << 20),
    ],
)
def test_requirement_8_4_a_quarter_of_the_memory_is_the_cache(
    memory: int, chosen: int, wanted: int
) -> None:
    assert buffers_bytes(memory, chosen) == wanted


def test_requirement_8_4_a_container_has_what_its_limit_says(tmp_path: Path) -> None:
    machine = memory_bytes(())
    limit, none = tmp_path / "limit", tmp_path / "none"
    limit.write_text("1073741824\n")
    none.write_text("max\n")
    assert machine > LEAST_BYTES
    assert memory_bytes((none, tmp_path / "missing")) == machine
    assert memory_bytes((none, limit)) == min(GIBIBYTE, machine)


def test_requirement_8_5_statements_are_slow_from_100_milliseconds_on(settings: Settings) -> None:
    usual = _options(settings, True, 100)
    assert (usual["log_min_duration_statement"], usual["log_parameter_max_length"]) == ("100", "0")
    assert usual["shared_buffers"] == f"{buffers_bytes(memory_bytes()) >> 20}MB"
    chosen = settings.model_copy(
        update={"slow_query_milliseconds": -1, "postgres_buffers_megabytes": 256}
    )
    options = _options(chosen, True, 100)
    assert (options["log_min_duration_statement"], options["shared_buffers"]) == ("-1", "256MB")


async def test_requirement_8_5_a_slow_statement_is_logged_without_its_values(
    cluster: EmbeddedDatabase, database: Database
) -> None:
    mark = "slow_statement_of_a_test"
    async with database.transaction(SERVICE) as transaction:
        slow = text(f"select :given as {mark} from pg_sleep(0.12)")
        await transaction.fetch_value(slow, given=CANARY)
    for _ in range(100):
        if mark in (said := cluster.log_path.read_text(errors="replace")):
            break
        await asyncio.sleep(0.02)
    (line,) = [line for line in said.splitlines() if mark in line]
    assert "duration: " in line
    assert CANARY not in said


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a database")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, SHA256())
    )
    public, secret = folder / "server.crt", folder / "server.key"
    public.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return public, secret


def lay_beside(data: Path, *files: Path) -> None:
    """Gives the server's own account files in its folder."""
    owner = data.stat()
    for file in files:
        there = data / file.name
        there.write_bytes(file.read_bytes())
        there.chmod(0o600)
        os.chown(there, owner.st_uid, owner.st_gid)


@pytest.fixture
async def root_certificate(
    cluster: EmbeddedDatabase, database: Database, tmp_path: Path
) -> AsyncIterator[Path]:
    """Has the database speak TLS for a test; the certificate that proves it."""
    superuser = await asyncpg.connect(cluster.superuser_url)
    data = Path(await superuser.fetchval("show data_directory"))
    public, secret = certificate(tmp_path)
    lay_beside(data, public, secret)
    try:
        await superuser.execute("alter system set ssl = on")
        await superuser.execute("select pg_reload_conf()")
        for _ in range(200):
            if await superuser.fetchval("show ssl") == "on":
                break
            await asyncio.sleep(0.02)
        yield public
    finally:
        await superuser.execute("alter system reset ssl")
        await superuser.execute("select pg_reload_conf()")
        await superuser.close()


async def test_requirement_1_3_every_role_speaks_tls_to_the_database_that_the_url_proves(
    cluster: EmbeddedDatabase, settings: Settings, root_certificate: Path, tmp_path: Path
) -> None:
    proven = f"{cluster.owner_url}?sslmode=verify-full&sslrootcert={root_certificate}"
    small = settings.model_copy(update={"pool_size": 1})
    database = await Database.connect(proven, small)
    try:
        for role, pool in database.pools.items():
            async with pool.connection() as connection:
                used = await connection.raw.fetchrow(
                    "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"
                )
            assert tuple(used or ()) == (True, "TLSv1.3"), role
    finally:
        await database.close()
    # Another's certificate proves nothing, and nobody goes on in the clear.
    folder = tmp_path / "other"
    folder.mkdir()
    foreign, _ = certificate(folder)
    for wrong in (
        f"{cluster.owner_url}?sslmode=verify-full&sslrootcert={foreign}",
        proven.replace("127.0.0.1", "localhost"),
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncpg.connect(wrong)


async def test_requirement_1_3_a_database_without_tls_is_refused_where_the_url_asks_for_it(
    cluster: EmbeddedDatabase, tmp_path: Path
) -> None:
    public, _ = certificate(tmp_path)
    for mode in ("require", "verify-ca", "verify-full"):
        with pytest.raises(ConnectionError, match="SSL"):
            await asyncpg.connect(
                f"{cluster.owner_url}?sslmode={mode}&sslrootcert={public}", timeout=5
            )
