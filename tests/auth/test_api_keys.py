"""Secrets of API keys are random, tell what was mistyped, and come again only to whom they were given."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from auth.api_keys import UNKNOWN_PER_MINUTE, ApiKeys, NewSecret, prefix_of, secret_hash, secret_id
from auth.shared_rates import SharedRates
from db.core.actor import Actor, KeyGrant, Scope
from db.core.errors import DomainError, ErrorCode, RateLimited
from db.core.pool import Database
from settings import Settings
from tests.auth.services import AuthServices


@pytest.fixture
def api_keys(database: Database, settings: Settings, services: AuthServices) -> ApiKeys:
    return ApiKeys(database, services.tokens, settings, SharedRates.alone())


def test_a_secret_is_a_start_a_prefix_and_256_random_bits_behind_a_checksum() -> None:
    made = [NewSecret.make() for _ in range(100)]
    for secret in made:
        assert re.fullmatch(r"tgk_[0-9A-Za-z]{57}", secret.text)
        assert secret.text.startswith(f"tgk_{secret.prefix}")
        assert prefix_of(secret.text) == secret.prefix
        assert (secret.hash, len(secret.hash)) == (secret_hash(secret.text), 32)
    for part in (slice(4, 12), slice(12, 55)):
        assert len({secret.text[part] for secret in made}) == 100
    assert len({secret_id(secret.hash) for secret in made}) == 100


def test_what_was_mistyped_is_known_without_a_look_at_the_database() -> None:
    text = NewSecret.make().text
    for place in range(4, len(text)):
        other = "a" if text[place] != "a" else "b"
        assert prefix_of(text[:place] + other + text[place + 1 :]) is None
    wrong = [
        "",
        "tgk_",
        text[:-1],
        f"{text}0",
        text.upper(),
        text.replace("tgk", "tgr"),
        f"{text} ",
    ]
    assert [prefix_of(one) for one in wrong if one != text] == [None] * len(wrong)


def test_a_secret_comes_again_for_the_same_idempotency_key_alone(api_keys: ApiKeys) -> None:
    user, other = uuid4(), uuid4()
    asked = [
        (user, "create", "k"),
        (user, "create", "l"),
        (user, "rotate", "k"),
        (other, "create", "k"),
        (user, "create", None),
        (user, "create", None),
    ]
    made = [api_keys.new_secret(*one).text for one in asked]
    assert len(set(made)) == len(asked)
    assert [api_keys.new_secret(*one).text for one in asked[:4]] == made[:4]
    assert all(map(prefix_of, made))


def test_a_limit_counts_what_other_processes_have_let_happen(
    database: Database, settings: Settings, services: AuthServices
) -> None:
    here, there = (SharedRates(b"key"), SharedRates(b"key"))
    keys = [ApiKeys(database, services.tokens, settings, rates) for rates in (here, there)]
    grant = KeyGrant(uuid4(), uuid4(), frozenset({Scope.READ}), 10)
    actor = Actor("authenticated", uuid4(), grant=grant)
    for process in keys:
        process.admit(actor)
    for _ in range(8):
        keys[0].admit(actor)
    report = here.report()
    assert report is not None
    there.hear(report)
    with pytest.raises(RateLimited):
        keys[1].admit(actor)
    # Who came with a token of a session has no such limit.
    for _ in range(20):
        keys[1].admit(Actor("authenticated", uuid4()))


async def test_unknown_keys_of_a_network_are_counted_in_all_processes(
    database: Database, settings: Settings, services: AuthServices
) -> None:
    here, there = (SharedRates(b"key"), SharedRates(b"key"))
    keys = [ApiKeys(database, services.tokens, settings, rates) for rates in (here, there)]
    for _ in range(UNKNOWN_PER_MINUTE):
        with pytest.raises(DomainError) as unknown:
            await keys[0].verify(NewSecret.make().text, "203.0.113.7")
        assert unknown.value.code is ErrorCode.UNAUTHENTICATED
    there.hear(here.report() or "")
    for process in keys:
        with pytest.raises(RateLimited):
            await process.verify(NewSecret.make().text, "203.0.113.7")
        with pytest.raises(DomainError) as unknown:
            await process.verify(NewSecret.make().text, "203.0.113.8")
        assert unknown.value.code is ErrorCode.UNAUTHENTICATED
