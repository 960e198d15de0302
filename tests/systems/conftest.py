"""Clients of the running product."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from .client import Client


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[Client]:
    """Somebody who has just signed up."""
    async with httpx.AsyncClient(timeout=30) as http:
        found = Client(server_url, http)
        await found.sign_up()
        yield found


@pytest.fixture
async def stranger(server_url: str) -> AsyncIterator[Client]:
    """Somebody else who has just signed up."""
    async with httpx.AsyncClient(timeout=30) as http:
        found = Client(server_url, http)
        await found.sign_up()
        yield found
