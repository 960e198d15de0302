"""The accounts of one process, on the real database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from db.core.pool import Database
from settings import Settings
from tests.auth.services import AuthServices, build


@pytest_asyncio.fixture
async def services(database: Database, settings: Settings) -> AsyncIterator[AuthServices]:
    services = build(database, settings)
    await services.all(
        "insert into sign_up_terms (id, bonus_credits, anonymous_bonus_credits) values (1, 10, 3) "
        "on conflict do nothing returning id"
    )
    yield services
    services.passwords.close()
