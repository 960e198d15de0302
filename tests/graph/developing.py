"""Developers of a running server: their keys, products, whitelists and licences."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from db.accounts.assurance import Assurance, SignInMethod
from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from server.app import Server
from server.serving import listen, server_config
from settings import Settings
from tests.conftest import MakeUser
from tests.fakes.roblox import FakeRoblox, fake_roblox
from tests.graph.live.websocket_server import run_uvicorn

TIERS = (
    ("free", 10, 10, 1, "WEEK"),
    ("pro", 30, 100, 20, "DAY"),
    ("pro_plus", 60, 500, -1, "DAY"),
    ("enterprise", 120, -1, -1, "DAY"),
)
LATER = "2199-01-01T00:00:00Z"
_groups = count(1_000_000)


async def add_tiers(owner: asyncpg.Connection) -> None:
    """The tiers of the product, beside whatever plans there are."""
    for rank, (name, requests, entries, obfuscations, period) in enumerate(TIERS):
        await owner.execute(
            "insert into plans (id, name, monthly_credits, max_daily_credits, price_cents,"
            " sort_order) values ($1, $1, 0, 0, $2, $3) on conflict do nothing",
            name,
            700 * rank,
            100 + rank,
        )
        await owner.execute(
            "insert into developer_tiers values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
            name,
            requests,
            entries,
            obfuscations,
            period,
            rank,
        )


@dataclass
class Developer:
    """Somebody with a session, and a key once they have made one."""

    actor: Actor
    token: str
    node: DeveloperNode
    key: str = ""

    async def ask(self, text: str, **variables: Any) -> Any:
        """What GraphQL answers; of a mutation, whose field is `answer`, its payload."""
        response = await self.node.http.post(
            "/graphql",
            json={"query": text, "variables": variables},
            headers={"authorization": f"Bearer {self.token}"},
        )
        answer = response.json()
        assert "errors" not in answer, answer
        return answer["data"].get("answer", answer["data"])

    async def rest(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The response to a request with the key."""
        headers = {"x-api-key": self.key, **options.pop("headers", {})}
        return await self.node.http.request(method, path, headers=headers, **options)

    async def data(self, method: str, path: str, **options: Any) -> Any:
        """What a request that succeeds answers."""
        response = await self.rest(method, path, **options)
        assert response.is_success, response.text
        return response.json()["data"] if response.content else None

    async def product(self, *, proven: bool = True) -> Any:
        """A product of a group that nobody else has."""
        group = next(_groups)
        body = {"product_name": f"Product {group}", "roblox_group_id": group}
        made = await self.data("POST", "/v1/products", json=body)
        if proven:
            self.node.roblox.describe(group, f"We build. {made['proof_phrase']}")
            made = await self.data("POST", f"/v1/products/{made['id']}/prove")
            assert made["proven_at"]
        return made

    async def put_on_whitelist(self, product: Any, roblox_id: int, until: str = LATER) -> Any:
        """An entry of a product's whitelist."""
        body = {
            "product_id": product["id"],
            "roblox_user_id": roblox_id,
            "discord_id": "123456789012345678",
            "expiry_date": until,
        }
        return await self.data("POST", "/v1/whitelist", json=body)

    async def licences(self, product: Any, count: int = 1, **given: Any) -> list[Any]:
        """New licences of a product, with their keys."""
        made = await self.ask(
            "mutation($input: CreateLicencesInput!) { answer: createLicences(input: $input) {"
            " licences { id key } errors { code message path } } }",
            input={
                "productId": product["id"],
                "count": count,
                "idempotencyKey": uuid4().hex,
                **given,
            },
        )
        assert made["errors"] == []
        return list(made["licences"])


@dataclass
class DeveloperNode:
    """A server on a port, whose developers ask a Roblox of the test's own."""

    server: Server
    http: httpx.AsyncClient
    roblox: FakeRoblox
    make_user: MakeUser
    owner: asyncpg.Connection

    async def developer(self, *, tier: str | None = None, credits: int = 0) -> Developer:
        """A developer of a tier, with a key."""
        actor = await self.make_user(credits)
        if tier is not None:
            await self.owner.execute(
                "update users set plan_id = $2 where id = $1", actor.user_id, tier
            )
        somebody = Developer(actor, self.token(actor), self)
        made = await somebody.ask(
            'mutation { answer: createDeveloperKey(input: {name: "Main"}) {'
            " secret developerKey { id } errors { code message } } }"
        )
        assert made["errors"] == [], made
        somebody.key = made["secret"]
        return somebody

    def token(self, actor: Actor) -> str:
        """A session's token."""
        assert actor.user_id
        issued = self.server.services.tokens.issue(
            actor.user_id,
            uuid4(),
            is_anonymous=False,
            is_admin=False,
            assurance=Assurance((SignInMethod.PASSWORD,), datetime.now(UTC)),
        )
        return issued.token


@asynccontextmanager
async def developer_node(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[DeveloperNode]:
    """A server for a block."""
    await add_tiers(owner)
    with fake_roblox() as roblox:
        changed = settings.model_copy(update={"roblox_api_url": roblox.url})
        server = Server(changed, database, open_storage(changed), WakeBus.memory())
        await server.start()
        async with (
            run_uvicorn(server_config(server, changed), listen("127.0.0.1", 0, "{}")) as (port, _),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http,
        ):
            yield DeveloperNode(server, http, roblox, make_user, owner)
        await server.stop()
