"""Webhooks and answers about sellers while the vault's key is rotated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from uuid import uuid4

import asyncpg
import pytest

from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.vault.sealing import Vault
from db.vault.watching import KEYS_KNOWN_SECONDS, KeysMissing
from jobs.billing import process_webhook
from jobs.core.declare import RetryLater
from payments.events import Refunded
from settings import Settings

from ..conftest import MakeUser
from ..db.test_vault import FIRST, SECOND
from ..fakes import stripe as fake
from ..fakes.stripe import FakeStripe, stripe
from .stripe_sellers import READY, Shop

NEWEST = (
    "select * from webhook_events where provider = $1 order by received_at desc, id desc limit 1"
)


class Rotating:
    """A shop whose processes have both keys, and one that was not given the new one yet."""

    def __init__(
        self,
        stripe: FakeStripe,
        database: Database,
        owner: asyncpg.Connection,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("VAULT_MASTER_KEY", FIRST)
        self.lacking = Shop(stripe, database, owner, settings)
        self.heads = [Vault(settings).head.hex()]
        monkeypatch.setenv("VAULT_MASTER_KEY", f"{SECOND},{FIRST}")
        self.whole = Shop(stripe, database, owner, settings)
        self.heads.append(Vault(settings).head.hex())


@pytest.fixture
async def rotating(
    database: Database,
    owner: asyncpg.Connection,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Rotating]:
    with stripe() as running:
        made = Rotating(running, database, owner, settings, monkeypatch)
        for head in made.heads:
            await owner.execute("insert into vault_keys (head, rounds) values ($1, 600000)", head)
        yield made
        # Whoever has the tests' own key would refuse to look anything up.
        await owner.execute("delete from vault_keys")


async def test_requirement_3_5_what_a_worker_without_the_new_key_cannot_find_is_anothers(
    rotating: Rotating, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    seller = await make_user()
    store_id, _ = await rotating.whole.open(seller)
    account = await rotating.whole.onboard(seller, store_id)
    await rotating.lacking.connect(account, **READY)
    waiting = await owner.fetchrow(NEWEST, "stripe-connect")
    assert (waiting["status"], waiting["attempts"]) == ("RECEIVED", 1)
    assert await rotating.whole.status(store_id) == "PENDING"
    queued = "select count(*) from queue.pgqueuer where entrypoint = 'process_webhook' and payload::text like $1"
    assert (
        await owner.fetchval(
            queued.replace("payload::text", "convert_from(payload, 'UTF8')"), f"%{waiting['id']}%"
        )
        == 1
    )
    # Its job is put back as often as such a worker takes it, and that is no attempt.
    for shop, ends in ((rotating.lacking, RetryLater), (rotating.whole, None)):
        inbox = shop.inbox
        services = SimpleNamespace(of=lambda _, inbox=inbox: inbox, wake=lambda: None)
        if ends is None:
            await process_webhook(services, webhook_id=waiting["id"])  # type: ignore[arg-type]
        else:
            with pytest.raises(ends):
                await process_webhook(services, webhook_id=waiting["id"])  # type: ignore[arg-type]
    assert (await owner.fetchrow(NEWEST, "stripe-connect"))["status"] == "PROCESSED"
    assert await rotating.whole.status(store_id) == "COMPLETE"
    # A server without it says so, and neither that there is no such seller nor that it failed.
    with pytest.raises(DomainError) as refused:
        await rotating.lacking.sellers.refresh(seller, store_id, provider="stripe")
    assert refused.value.code is ErrorCode.SERVICE_UNAVAILABLE


async def test_requirement_3_5_what_waits_for_a_key_waits_for_three_days(
    rotating: Rotating, owner: asyncpg.Connection
) -> None:
    event = fake.connect_event(
        "account.updated", f"acct_{uuid4().hex}", fake.connected_account("a", **READY)
    )
    await rotating.lacking.tell(event)
    webhook_id = (await owner.fetchrow(NEWEST, "stripe-connect"))["id"]
    with pytest.raises(KeysMissing):
        await rotating.lacking.inbox.process(webhook_id)
    await owner.execute(
        "update webhook_events set received_at = now() - interval '4 days' where id = $1",
        webhook_id,
    )
    await rotating.lacking.inbox.process(webhook_id)
    ended = await owner.fetchrow("select * from webhook_events where id = $1", webhook_id)
    assert (ended["status"], ended["reason"]) == ("QUARANTINED", "FAILED")
    # Once the key is retired or here, nothing waits any more.
    await owner.execute(
        "update vault_keys set retired_at = now() where head = $1", rotating.heads[1]
    )
    await asyncio.sleep(KEYS_KNOWN_SECONDS)
    await owner.execute("select app.replay_webhook($1)", webhook_id)
    await rotating.lacking.inbox.process(webhook_id)
    ended = await owner.fetchrow("select * from webhook_events where id = $1", webhook_id)
    assert (ended["status"], ended["reason"]) == ("QUARANTINED", "UNKNOWN_ACCOUNT")


async def test_requirement_3_5_a_kept_answer_holds_nothing_sealed_and_is_read_again(
    rotating: Rotating, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    shop, seller = rotating.whole, await make_user()
    store_id, _ = await shop.open(seller)
    account = await shop.onboard(seller, store_id)
    shop.stripe.accounts[account] |= READY
    await shop.sellers.refresh(seller, store_id, provider="stripe")
    assert await shop.status(store_id) == "COMPLETE"
    kept = await owner.fetchrow(NEWEST, "stripe")
    assert (kept["kind"], kept["status"]) == ("account", "PROCESSED")
    index = await owner.fetchval(
        "select encode(account_index, 'hex') from seller_accounts where store_id = $1", store_id
    )
    assert "SellerAccountTold" in kept["body"]
    assert [one for one in (index, "named", "account_indexes") if one in kept["body"]] == []
    # What an answer waited for is asked of its events again, and not of what a delivery would say.
    early = Refunded(
        references=(f"pi_{uuid4().hex}",), payment_id="pi_0", amount_cents=1, currency="USD"
    )
    provider = shop.inbox.providers["stripe"]
    settled = await shop.inbox.apply(provider, "refund", [early])
    assert settled.status == "PARKED"
    parked = await owner.fetchrow(NEWEST, "stripe")
    await owner.execute("select app.replay_webhook($1)", parked["id"])
    await shop.inbox.process(parked["id"])
    again = await owner.fetchrow("select * from webhook_events where id = $1", parked["id"])
    assert (again["status"], again["attempts"]) == ("PARKED", 2)
