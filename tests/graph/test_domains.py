"""A store's own domain is its own once the domain says so, and nobody keeps another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from jobs.stores import look_at_domains
from server.services import Services
from tests.conftest import MakeUser
from tests.fakes.dns import FakeDns, fake_dns

from . import selling
from .conftest import Ask
from .selling import Market, open_market

NAME = """mutation($id: ID!, $domain: String) { updateStore(input: {id: $id, customDomain: $domain}) {
  store { customDomain customDomainStatus customDomainProof } errors { code path } } }"""
VERIFY = """mutation($id: ID!) { verifyCustomDomain(input: {storeId: $id}) {
  store { customDomainStatus customDomainVerifiedAt } errors { code path } } }"""
STATUS = "select custom_domain_status from stores where id = $1"


@pytest.fixture
async def market(ask: Ask, services: Services, make_user: MakeUser) -> Market:
    """A store of a new seller's."""
    return await open_market(ask, services, await make_user())


@pytest.fixture
async def names(market: Market) -> AsyncIterator[FakeDns]:
    servers = market.services.settings.dns_servers
    async with fake_dns() as server:
        servers[:] = [server.address]
        yield server
        servers.clear()


async def test_of_two_who_name_a_domain_the_one_whom_it_names_has_it(
    market: Market, make_user: MakeUser, names: FakeDns, owner: asyncpg.Connection
) -> None:
    services, domain, squatter = market.services, f"{uuid4().hex}.example", await make_user()
    given = {"slug": f"s-{uuid4().hex[:8]}", "name": "S", "idempotencyKey": "k"}
    made = await market.done(
        selling.CREATE_STORE, squatter, input=given | {"customDomain": domain.upper()}
    )
    theirs, ours = made["store"]["id"], market.store_id

    async def status(store: str) -> Any:
        return await owner.fetchval(STATUS, store.removeprefix("store_"))

    async def look() -> None:
        await owner.execute("update stores set domain_due_at = now() where domain_due_at > now()")
        await look_at_domains(services.database, services.settings)

    async def refused(store: str, who: Any = None) -> Any:
        said = await market.do(VERIFY, who, id=store)
        return [(one["code"], one["path"]) for one in said["errors"]]

    # Whoever came first blocks nobody, and without the record nobody has it.
    named = (await market.done(NAME, id=ours, domain=domain))["store"]
    assert (named["customDomain"], named["customDomainStatus"]) == (domain, "PENDING")
    assert await refused(ours) == [("PROVIDER_REFUSED", ["input", "storeId"])]
    assert await refused(theirs) == [("NOT_FOUND", ["input", "storeId"])]
    names.records[f"_tallygraph.{domain}"] = ["v=spf1", named["customDomainProof"]]
    assert await refused(theirs, squatter) == [("PROVIDER_REFUSED", ["input", "storeId"])]
    verified = (await market.done(VERIFY, id=ours))["store"]
    assert verified["customDomainStatus"] == "VERIFIED"
    assert verified["customDomainVerifiedAt"]
    await look()
    assert (await status(ours), await status(theirs)) == ("VERIFIED", "PENDING")
    # The domain is sold: the job finds out by itself.
    names.records[f"_tallygraph.{domain}"] = [f"tallygraph-store={theirs}"]
    await look()
    assert (await status(ours), await status(theirs)) == ("FAILED", "VERIFIED")
    # While name servers say nothing, nothing is lost; a record that stays away is missed in the end.
    names.code = 2
    await look()
    assert await refused(theirs, squatter) == [("PROVIDER_FAILED", None)]
    names.code = 0
    names.records.clear()
    await look()
    assert await status(theirs) == "VERIFIED"
    await owner.execute("update stores set domain_misses = 47 where custom_domain = $1", domain)
    await look()
    assert await status(theirs) == "FAILED"
    # Another domain begins anew; none has no state.
    again = (await market.done(NAME, id=ours, domain=f"b.{domain}"))["store"]
    assert again["customDomainStatus"] == "PENDING"
    cleared = (await market.done(NAME, id=ours, domain=None))["store"]
    assert (cleared["customDomain"], cleared["customDomainStatus"]) == (None, None)
    assert await refused(ours) == [("INVALID_STATE", ["input", "storeId"])]


@pytest.mark.parametrize(
    "domain", ["127.0.0.1", "localhost", "a.b.123", "x_y.example", "*.a.example"]
)
async def test_what_is_no_domain_is_refused(market: Market, domain: str) -> None:
    said = await market.do(NAME, id=market.store_id, domain=domain)
    assert [one["path"] for one in said["errors"]] == [["input", "customDomain"]]
