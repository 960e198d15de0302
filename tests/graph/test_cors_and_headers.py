"""Which pages may call, what every answer's headers say, and when a server says it is ready."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from server.app import Server, make_services, origin_check
from settings import Settings

LOCAL = "http://localhost:3000"
EVIL = "https://evil.example"
SHOP = "https://shop.example"

Serve = Callable[..., AbstractAsyncContextManager[tuple[Server, httpx.AsyncClient]]]


@pytest.fixture
def serve(database: Database, cluster: EmbeddedDatabase, settings: Settings) -> Serve:
    """`async with serve(cors_origins=[…])` gives a server in this process and its client."""

    # A demo makes its secrets; production has to find them.
    make_services(settings, database, open_storage(settings), WakeBus.memory()).passwords.close()

    @asynccontextmanager
    async def serving(**changes: Any) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
        changed = settings.model_copy(update=changes)
        own = await Database.connect(cluster.owner_url, changed)
        server = Server(changed, own, open_storage(changed), WakeBus.memory())
        transport = httpx.ASGITransport(app=server.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield server, client
        server.services.passwords.close()
        await own.close()

    return serving


async def preflight(
    http: httpx.AsyncClient, path: str, origin: str, method: str = "POST"
) -> httpx.Response:
    return await http.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization, content-type",
        },
    )


@pytest.mark.parametrize("origin", [LOCAL, "http://127.0.0.1:5173", "https://localhost"])
@pytest.mark.parametrize(("path", "method"), [("/graphql", "POST"), ("/files/uploads/x", "PUT")])
async def test_the_demo_lets_pages_of_this_machine_call_and_upload(
    http: httpx.AsyncClient, origin: str, path: str, method: str
) -> None:
    response = await preflight(http, path, origin, method)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert method in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    "origin",
    [EVIL, "http://localhost.evil.example", "http://evil.example:3000", "null", "http://localhost:3000.evil.example"],
)  # fmt: skip
async def test_the_demo_refuses_other_pages(http: httpx.AsyncClient, origin: str) -> None:
    for path, method in (("/graphql", "POST"), ("/files/uploads/x", "PUT")):
        response = await preflight(http, path, origin, method)
        assert response.status_code == 400
        assert "access-control-allow-origin" not in response.headers
    response = await http.post(
        "/graphql", json={"query": "{ __typename }"}, headers={"Origin": origin}
    )
    assert "access-control-allow-origin" not in response.headers


async def test_a_page_may_read_the_answer_its_request_id_and_what_is_left(
    http: httpx.AsyncClient,
) -> None:
    response = await http.post(
        "/graphql", json={"query": "{ __typename }"}, headers={"Origin": LOCAL}
    )
    assert response.headers["access-control-allow-origin"] == LOCAL
    exposed = response.headers["access-control-expose-headers"].lower()
    assert exposed == "x-request-id, ratelimit, ratelimit-policy, retry-after"
    assert "origin" in response.headers["vary"].lower()
    refused = await http.put("/files/uploads/x", content=b"x", headers={"Origin": LOCAL})
    assert refused.status_code == 403
    assert refused.headers["access-control-allow-origin"] == LOCAL


async def test_production_lets_in_the_listed_pages_only(serve: Serve) -> None:
    async with serve(environment="production", cors_origins=[SHOP]) as (_, http):
        for path, method in (("/graphql", "POST"), ("/files/uploads/x", "PUT")):
            allowed = await preflight(http, path, SHOP, method)
            assert allowed.headers["access-control-allow-origin"] == SHOP
            for origin in (LOCAL, EVIL, "http://shop.example", "https://shop.example.evil.example"):
                refused = await preflight(http, path, origin, method)
                assert refused.status_code == 400
                assert "access-control-allow-origin" not in refused.headers


def test_sockets_are_for_the_same_pages(settings: Settings) -> None:
    demo = origin_check(settings)
    assert [demo(origin) for origin in (None, LOCAL, settings.base_url, EVIL)] == [
        True, True, True, False,
    ]  # fmt: skip
    production = origin_check(
        settings.model_copy(
            update={
                "environment": "production",
                "cors_origins": [SHOP],
                "public_url": "https://api.example",
            }
        )
    )
    origins = (None, SHOP, "https://api.example", LOCAL, EVIL)
    assert [production(origin) for origin in origins] == [True, True, True, False, False]


async def test_a_foreign_page_opens_no_socket(server_url: str) -> None:
    url = server_url.replace("http", "ws", 1) + "/graphql"
    protocols = [Subprotocol("graphql-transport-ws")]
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, origin=Origin(EVIL), subprotocols=protocols)
    assert refused.value.response.status_code == 403
    async with connect(url, origin=Origin(LOCAL), subprotocols=protocols) as socket:
        assert socket.subprotocol == protocols[0]
    with pytest.raises(InvalidStatus):
        await connect(url.replace("/graphql", "/elsewhere"), subprotocols=protocols)


@pytest.mark.parametrize(
    "path", ["/", "/graphiql", "/healthz", "/readyz", "/.well-known/jwks.json", "/nowhere", "/files/x"]
)  # fmt: skip
async def test_every_page_is_kept_from_frames_guesses_and_referrers(
    http: httpx.AsyncClient, path: str
) -> None:
    headers = (await http.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    if path == "/graphiql":
        assert "default-src 'none'" in headers["content-security-policy"]


async def test_the_playground_can_be_turned_off(serve: Serve) -> None:
    async with serve(graphiql=False) as (_, http):
        assert (await http.get("/graphiql")).status_code == 404
        assert (await http.get("/")).headers["location"] == "/healthz"


async def test_the_keys_that_verify_tokens_are_published_without_their_secrets(
    http: httpx.AsyncClient,
) -> None:
    response = await http.get("/.well-known/jwks.json")
    assert response.headers["content-type"].startswith("application/json")
    assert response.headers["cache-control"] == "public, max-age=300"
    keys = response.json()["keys"]
    assert keys
    for key in keys:
        assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
        assert (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
        assert len(key["x"]) == 43


async def test_a_running_server_is_healthy_and_ready(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


async def test_a_draining_server_is_alive_but_not_ready(serve: Serve) -> None:
    async with serve() as (server, http):
        assert (await http.get("/readyz")).status_code == 200
        await server.drain()
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200


async def test_without_its_database_a_server_is_alive_but_not_ready(serve: Serve) -> None:
    async with serve() as (server, http):
        await server.services.database.close()
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "database unavailable"})
        assert (await http.get("/healthz")).status_code == 200
        asked = await http.post("/graphql", json={"query": "{ tools { id } }"})
        assert asked.json()["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
