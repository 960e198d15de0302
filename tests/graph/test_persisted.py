"""Persisted documents: Apollo's protocol to the letter, a bounded store, and trusted documents."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from db.core.actor import NOBODY
from db.core.pool import Database
from db.files.storage import open_storage
from graph.engine.documents import store as documents
from graph.engine.documents.persisted import PersistedDocuments, load_trusted_documents, sha256_of
from graph.engine.execution.engine import Engine
from graph.live import protocol
from graph.live.bus import WakeBus
from graph.live.protocol import CloseSocket
from graph.live.source import LiveOperations
from graph.live.websocket import RequestErrors
from graph.shared.errors import RequestError
from server.app import Server
from server.http import GraphQLHttp
from server.services import Services
from settings import Settings, SettingsError
from tests.running import run_command

TEXT = "query Tools { tools { id } }"
OTHER = "{ viewer { id } }"
MUTATION = "mutation { signOut { signedOut } }"
NEWER = {"accept": "application/graphql-response+json"}
FORBIDDEN = "This server runs only trusted documents."


def named(digest: str, version: Any = 1) -> dict[str, Any]:
    """The extensions of a request that names its document."""
    return {"persistedQuery": {"version": version, "sha256Hash": digest}}


def client_of(engine: Engine, services: Services) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(GraphQLHttp(engine, services))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.fixture
def fresh(engine: Engine, services: Services) -> Engine:
    """An engine that remembers nothing yet."""
    return Engine(engine.strawberry, services.database, introspection=True)


@pytest.fixture
async def http(fresh: Engine, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    async with client_of(fresh, services) as client:
        yield client


@pytest.fixture
def trusting(engine: Engine, services: Services) -> Engine:
    """An engine that runs two documents."""
    trusted = {"tools": TEXT, sha256_of(MUTATION): MUTATION}
    return Engine(engine.strawberry, services.database, introspection=True, trusted=trusted)


@pytest.fixture
async def guarded(trusting: Engine, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    async with client_of(trusting, services) as client:
        yield client


async def post(http: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    response = await http.post("/graphql", json=request)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def assert_refused(answer: dict[str, Any], message: str, code: str) -> None:
    assert answer == {"errors": [{"message": message, "extensions": {"code": code}}]}


async def test_a_hash_is_unknown_then_sent_with_its_text_then_enough(
    http: httpx.AsyncClient,
) -> None:
    extensions = named(sha256_of(TEXT))
    unknown = await post(http, extensions=extensions)
    assert_refused(unknown, "PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    sent = await post(http, query=TEXT, extensions=extensions)
    assert sent["data"]["tools"]
    with patch.object(documents, "valid_document", side_effect=AssertionError("parsed again")):
        assert await post(http, extensions=extensions) == sent
        query = {"extensions": json.dumps(extensions)}
        assert (await http.get("/graphql", params=query)).json() == sent


async def test_an_unknown_hash_has_the_status_of_its_media_type(http: httpx.AsyncClient) -> None:
    params = {"extensions": json.dumps(named(sha256_of(OTHER)))}
    older = await http.get("/graphql", params=params)
    newer = await http.get("/graphql", params=params, headers=NEWER)
    assert (older.status_code, newer.status_code) == (200, 400)
    assert older.json() == newer.json()
    assert older.headers["cache-control"] == "no-store"


async def test_a_hash_of_another_text_is_refused_and_not_kept(http: httpx.AsyncClient) -> None:
    extensions = named(sha256_of(OTHER))
    answer = await post(http, query=TEXT, extensions=extensions)
    assert_refused(answer, "provided sha does not match query", "BAD_USER_INPUT")
    answer = await post(http, extensions=extensions)
    assert_refused(answer, "PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")


@pytest.mark.parametrize("version", [0, 2, "1", None])
async def test_only_version_1_is_supported(http: httpx.AsyncClient, version: Any) -> None:
    answer = await post(http, query=TEXT, extensions=named(sha256_of(TEXT), version))
    assert_refused(answer, "PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")


@pytest.mark.parametrize("asked", [1, "x", [], {}, {"version": 1, "sha256Hash": 5}, True])
async def test_a_malformed_extension_is_the_clients_fault(
    http: httpx.AsyncClient, asked: Any
) -> None:
    answer = await post(http, query=TEXT, extensions={"persistedQuery": asked})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "data" not in answer


async def test_an_invalid_document_is_not_kept(http: httpx.AsyncClient) -> None:
    text = "{ noSuchField }"
    extensions = named(sha256_of(text))
    answer = await post(http, query=text, extensions=extensions)
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    answer = await post(http, extensions=extensions)
    assert_refused(answer, "PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")


@pytest.mark.parametrize("digest", ["", "x", "\u202e", "0" * 900_000, f"{sha256_of(TEXT)} "])
async def test_a_hash_that_is_none_is_unknown_and_never_stored(
    fresh: Engine, http: httpx.AsyncClient, digest: str
) -> None:
    answer = await post(http, extensions=named(digest))
    assert_refused(answer, "PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    answer = await post(http, query=TEXT, extensions=named(digest))
    assert_refused(answer, "provided sha does not match query", "BAD_USER_INPUT")
    assert fresh.persisted._store.size_bytes == 0


async def test_a_persisted_mutation_is_still_refused_by_get(http: httpx.AsyncClient) -> None:
    extensions = named(sha256_of(MUTATION))
    assert "errors" not in await post(http, query=MUTATION, extensions=extensions)
    response = await http.get("/graphql", params={"extensions": json.dumps(extensions)})
    assert response.status_code == 405


async def test_an_id_without_trusted_documents_finds_nothing(http: httpx.AsyncClient) -> None:
    answer = await post(http, documentId="tools")
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert (await post(http, documentId="tools", query=TEXT))["data"]["tools"]


def test_the_store_is_bounded_in_bytes(fresh: Engine) -> None:
    store = PersistedDocuments(fresh.documents, store_bytes=2_000)
    texts = [f"query Q{number} {{ tools {{ id }} }}" for number in range(50)]
    for text in texts:
        store.text({"query": text, "extensions": named(sha256_of(text))}, None)
    assert store._store.size_bytes <= 2_000
    last = {"extensions": named(sha256_of(texts[-1]))}
    assert store.text(last, None) == texts[-1]
    with pytest.raises(RequestError, match="PersistedQueryNotFound"):
        store.text({"extensions": named(sha256_of(texts[0]))}, None)


async def test_the_protocol_works_over_a_socket(fresh: Engine, services: Services) -> None:
    source = LiveOperations(fresh, services)

    async def ask(**payload: Any) -> Any:
        read = protocol.operation_payload({"payload": payload})
        return json.loads((await anext(source.execute(read, lambda: NOBODY))).body)

    extensions = named(sha256_of(TEXT))
    with pytest.raises(RequestErrors) as caught:
        await ask(extensions=extensions)
    assert_refused(
        {"errors": caught.value.errors}, "PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND"
    )
    sent = await ask(query=TEXT, extensions=extensions)
    assert await ask(extensions=extensions) == sent
    assert await ask(query=TEXT, extensions={}) == sent
    with pytest.raises(CloseSocket):
        await ask(variables={})


@pytest.mark.parametrize(
    "request_",
    [
        {"query": TEXT},
        {"documentId": "tools"},
        {"documentId": sha256_of(TEXT)},
        {"documentId": f"sha256:{sha256_of(TEXT)}"},
        {"extensions": named("tools")},
        {"extensions": named(sha256_of(TEXT))},
        {"extensions": named(sha256_of(TEXT)), "query": TEXT},
    ],
    ids="+".join,
)
async def test_a_trusted_document_runs_however_it_is_named(
    guarded: httpx.AsyncClient, request_: dict[str, Any]
) -> None:
    assert (await post(guarded, **request_))["data"]["tools"]


@pytest.mark.parametrize(
    "request_",
    [
        {"query": OTHER},
        {"query": f"{TEXT} "},
        {"query": "{ __schema { types { name } } }"},
        {"documentId": "other"},
        {"documentId": "tools", "query": OTHER},
        {"extensions": named(sha256_of(OTHER))},
        {"extensions": named(sha256_of(OTHER)), "query": OTHER},
        {"extensions": named(sha256_of(MUTATION)), "query": TEXT},
    ],
    ids="+".join,
)
async def test_any_other_document_is_forbidden(
    guarded: httpx.AsyncClient, trusting: Engine, services: Services, request_: dict[str, Any]
) -> None:
    assert_refused(await post(guarded, **request_), FORBIDDEN, "FORBIDDEN")
    source = LiveOperations(trusting, services)
    with pytest.raises(RequestErrors) as caught:
        await anext(source.execute(request_, lambda: NOBODY))
    assert_refused({"errors": caught.value.errors}, FORBIDDEN, "FORBIDDEN")


@pytest.mark.parametrize(
    "content",
    [
        {"tools": TEXT},
        {"sha256:tools": TEXT},
        {
            "format": "apollo-persisted-query-manifest",
            "version": 1,
            "operations": [{"id": "tools", "name": "Tools", "type": "query", "body": TEXT}],
        },
    ],
    ids=["map", "prefixed", "manifest"],
)
def test_both_formats_of_a_file_are_read(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "trusted.json"
    file.write_text(json.dumps(content))
    assert load_trusted_documents(file) == {"tools": TEXT}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "1", '"a"', '{"a": 1}', '{"a": ""}', '{"format": "x", "operations": [1]}',
     '{"format": "x", "operations": [{"id": "a"}]}', '{"format": "x", "operations": 1}'],
)  # fmt: skip
def test_any_other_file_is_a_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "trusted.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match="trusted documents"):
        load_trusted_documents(file)
    with pytest.raises(SettingsError, match="Cannot read"):
        load_trusted_documents(tmp_path / "missing.json")


async def test_the_setting_makes_a_server_trust_only_its_file(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "trusted.json"
    file.write_text(json.dumps({"tools": TEXT}))
    trusting = settings.model_copy(update={"trusted_documents": str(file)})
    server = Server(trusting, database, open_storage(trusting), WakeBus.memory())
    transport = httpx.ASGITransport(server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert_refused(await post(client, query=OTHER), FORBIDDEN, "FORBIDDEN")
        found = await client.get("/graphql", params={"documentId": "tools"})
    server.services.passwords.close()
    assert found.json()["data"]["tools"]


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_a_missing_file_is_said_before_anything_starts(tmp_path: Path, command: str) -> None:
    missing = str(tmp_path / "missing.json")
    done = run_command(tmp_path / "data", command, "--trusted-documents", missing)
    assert done.returncode == 1
    assert "Cannot read the trusted documents" in done.stderr
    assert not (tmp_path / "data").exists()
