"""What clients see of the budgets of addresses and devices: a field, a code, and when to come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson
import pytest

from auth.accounts import Accounts
from db.core.actor import NOBODY
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from server.services import Services
from settings import Settings

GUEST = """mutation($device: String) {
  signInAnonymously(input: {deviceId: $device}) {
    session { user { isAnonymous } } bonusCredits errors { code path } } }"""
PLAIN = "mutation { signInAnonymously { bonusCredits errors { code } } }"
RENEW = """mutation { refreshSession(input: {refreshToken: "x"}) {
  session { expiresAt } bonusCredits errors { code } } }"""


@pytest.fixture
def small(services: Services, settings: Settings) -> Services:
    """The services of a deployment whose budgets are small."""
    limits = {"guest_bonuses_per_hour": 2, "accounts_per_hour": 3}
    accounts = Accounts(
        services.database,
        services.passwords,
        services.attempts,
        services.failures,
        services.tokens,
        services.sessions,
        settings.model_copy(update=limits),
    )
    return replace(services, accounts=accounts)


async def answer(
    engine: Engine, services: Services, text: str, address: str, **variables: Any
) -> Any:
    context = Context(NOBODY, services, "test", address=address)
    return orjson.loads(await engine.run(text, variables, None, context))


async def test_a_network_has_its_bonuses_then_none_then_is_told_to_wait(
    engine: Engine, small: Services
) -> None:
    host = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}"
    answers = [await answer(engine, small, PLAIN, f"{host}::{number:x}") for number in range(1, 5)]
    given = [one["data"]["signInAnonymously"] for one in answers]
    assert given == [*({"bonusCredits": credits, "errors": []} for credits in (3, 3, 0)), None]
    (error,) = answers[3]["errors"]
    assert error["path"] == ["signInAnonymously"]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert 0 < error["extensions"]["retryAfterSeconds"] <= 3600


async def test_a_device_may_be_named(engine: Engine, services: Services) -> None:
    device = str(uuid4())
    for given in (device, None):
        found = await answer(engine, services, GUEST, "a", device=given)
        assert found["data"]["signInAnonymously"]["bonusCredits"] == 3
    again = (await answer(engine, services, GUEST, "b", device=device))["data"]
    assert again["signInAnonymously"]["bonusCredits"] == 0
    assert again["signInAnonymously"]["session"] == {"user": {"isAnonymous": True}}
    refused = await answer(engine, services, GUEST, "a", device="no\nid")
    assert refused["data"]["signInAnonymously"] == {
        "session": None,
        "bonusCredits": None,
        "errors": [{"code": "BAD_USER_INPUT", "path": ["input", "deviceId"]}],
    }


async def test_what_opens_no_account_names_no_bonus(engine: Engine, services: Services) -> None:
    renewed = (await answer(engine, services, RENEW, "a"))["data"]["refreshSession"]
    assert renewed == {
        "session": None,
        "bonusCredits": None,
        "errors": [{"code": "UNAUTHENTICATED"}],
    }
