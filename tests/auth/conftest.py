"""The accounts of one process, on the real database."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from db.core.pool import Database
from settings import Settings
from tests.auth.services import AuthServices, build
from tests.auth.sign_in import Place, sign_in_server
from tests.fakes.http_stub import stub_server
from tests.fakes.providers import (
    CLIENT_ID,
    CLIENT_SECRET,
    Apple,
    Issuer,
    SigningKey,
    discord,
    facebook,
)


@pytest_asyncio.fixture
async def services(database: Database, settings: Settings) -> AsyncIterator[AuthServices]:
    services = build(database, settings)
    await services.all(
        "insert into sign_up_terms (id, bonus_credits, anonymous_bonus_credits) values (1, 10, 3) "
        "on conflict do nothing returning id"
    )
    yield services
    services.passwords.close()


@pytest.fixture(scope="session")
def mock_issuer() -> Iterator[str]:
    """`oidc-provider-mock` as a server of its own: the URL of an issuer."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    from oidc_provider_mock import run_server_in_thread

    with run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest_asyncio.fixture(scope="session")
async def place(database: Database, settings: Settings, mock_issuer: str) -> AsyncIterator[Place]:
    """A server that offers every kind of provider."""
    with stub_server() as acme, stub_server() as apple, stub_server() as others:
        variables = {
            "ACME_ISSUER": acme.url,
            "ACME_CLIENT_ID": CLIENT_ID,
            "ACME_CLIENT_SECRET": CLIENT_SECRET,
            "ACME_APP_CLIENT_IDS": "com.example.app",
        }
        os.environ |= variables
        issuer = Issuer(acme, [SigningKey("first")])
        async with sign_in_server(
            database,
            settings,
            mock_issuer,
            issuer,
            Apple(apple, [SigningKey("apple")]),
            facebook(others),
            discord(others),
        ) as place:
            yield place
        for name in variables:
            del os.environ[name]
