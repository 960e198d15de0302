"""Traces: what a collector is sent of requests, statements, jobs and calls, and what it never is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import structlog
from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.http_calls import call
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from jobs.core.declare import DeclaredWork, make_job
from jobs.core.worker import Worker
from jobs.providers import choose_providers
from server.app import Server
from server.serving import ProcessParts, parts_of
from server.tracing.spans import TracedEngine, statement_key
from settings import Settings, SettingsError

from ..fakes.collector import Collected, collector
from ..running import ROOT

PASSWORD = "canary-password-7f3a"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SIGN_UP = 'mutation Open($email: String!) { signUp(input: {email: $email, password: "%s"}) { session { accessToken } errors { code } } }'


@dataclass
class Traced:
    """What a traced deployment was asked, and what its collector received of it."""

    collected: Collected
    email: str
    token: str
    job_name: str
    dead_job: UUID
    lines: list[dict[str, Any]]
    response: httpx.Response
    plain: httpx.Response

    def attributes(self, span: Any) -> dict[str, Any]:
        """A span's attributes; of lists the first."""
        return {
            a.key: a.value.string_value
            or a.value.int_value
            or [v.string_value for v in a.value.array_value.values]
            for a in span.attributes
        }

    def of_trace(self, name: str) -> Any:
        """The span of a name in the trace that the client named."""
        found = [s for s in self.collected.named(name) if s.trace_id.hex() == TRACE]
        assert found, (name, sorted({s.name for s in self.collected.spans}))
        return found[0]


@pytest.fixture(scope="module")
async def traced(cluster: EmbeddedDatabase, database: Database, settings: Settings) -> Any:
    """A deployment with tracing: asked a few things, stopped, and so all spans are sent."""
    owner = await asyncpg.connect(cluster.owner_url)
    job_name = f"traced_{uuid4().hex}"
    email = f"canary-{uuid4().hex}@example.test"
    with collector() as collected:
        wanted = settings.model_copy(update={"otel_exporter_otlp_endpoint": collected.url})
        lines: list[dict[str, Any]] = []
        async with AsyncExitStack() as stack:
            parts = await stack.enter_async_context(parts_of(wanted))
            stack.callback(_catching_lines(lines))
            pools = await parts.database.connect(cluster.owner_url, wanted)
            stack.push_async_callback(pools.close)
            server = parts.server(wanted, pools, None, WakeBus.memory())  # type: ignore[arg-type]
            assert isinstance(server.engine, TracedEngine)
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=server.app), base_url="http://test"
            ) as http:
                signed_up = await _ask(http, SIGN_UP % PASSWORD, {"email": email})
                token = signed_up.json()["data"]["signUp"]["session"]["accessToken"]
                await owner.execute("update users set role = 'admin' where email = $1", email)
                dead_job = await owner.fetchval(
                    "insert into dead_jobs (entrypoint, payload, attempts, error)"
                    " values ($1, '{}', 1, 'it failed') returning id",
                    job_name,
                )
                bearer = {"authorization": f"Bearer {token}"}
                retry = (
                    "mutation Again($id: ID!) { retryJob(input: {id: $id}) { errors { code } } }"
                )
                response = await _ask(
                    http,
                    retry,
                    {"id": f"deadJob_{dead_job}"},
                    traceparent=f"00-{TRACE}-{PARENT}-01",
                    **bearer,
                )
                plain = await _ask(http, "{ viewer { email } }", {}, **bearer)
                await http.get("/healthz")
                await http.get(f"/files/{email}")
            await _work(parts, wanted, cluster, pools, collected, job_name)
    await owner.close()
    return Traced(collected, email, token, job_name, dead_job, lines, response, plain)


def _catching_lines(lines: list[dict[str, Any]]) -> Any:
    """Has every line of the log noted behind what tracing adds to it; gives what ends that."""
    processors = structlog.get_config()["processors"]

    def note(_logger: Any, _method: str, event: Any) -> Any:
        lines.append(dict(event))
        return event

    processors.insert(1, note)
    return lambda: processors.remove(note)


async def _ask(
    http: httpx.AsyncClient, document: str, variables: dict[str, Any], **headers: str
) -> httpx.Response:
    response = await http.post(
        "/graphql", json={"query": document, "variables": variables}, headers=headers
    )
    assert "errors" not in response.json(), response.text
    return response


async def _work(
    parts: ProcessParts,
    settings: Settings,
    cluster: EmbeddedDatabase,
    pools: Database,
    collected: Collected,
    job_name: str,
) -> None:
    """A worker that knows one job, which calls somebody; until it has failed once and been done."""
    done = asyncio.Event()
    runs = 0

    async def run(database: Database) -> None:
        nonlocal runs
        runs += 1
        url = f"{collected.url}/v1/models?key=canary-key-91c2"
        await call("POST", url, headers={"x-api-key": "canary-header-5d"}, seconds=5, most_bytes=99)
        async with database.transaction(SERVICE) as transaction:
            await transaction.fetch_value(text("select :given"), given="canary-value-33")
        if runs == 1:
            raise ValueError("canary-message-0b")
        done.set()

    kind = make_job(job_name, run, attempts=3)
    worker = parts.worker(
        settings,
        cluster.owner_url,
        pools,
        open_storage(settings),
        choose_providers(settings),
        lambda: None,
        DeclaredWork(jobs={job_name: kind}),
    )
    task = asyncio.create_task(worker.run())
    await asyncio.wait_for(done.wait(), 60)
    await worker.stop()
    await task


async def test_a_request_is_a_span_above_its_operation_and_its_statement(traced: Traced) -> None:
    request = traced.of_trace("POST /graphql")
    operation = traced.of_trace("mutation retryJob")
    statement = traced.of_trace("app.retry_dead_job")
    assert request.parent_span_id.hex() == PARENT
    assert operation.parent_span_id == request.span_id
    assert statement.parent_span_id == operation.span_id
    assert traced.attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/graphql",
        "http.response.status_code": 200,
    }
    assert traced.attributes(operation) == {
        "graphql.operation.type": "mutation",
        "graphql.operation.name": "Again",
        "tallygraph.field": "retryJob",
    }
    told = traced.attributes(statement)
    assert told.keys() == {"db.system.name", "db.query.summary", "tallygraph.statement"}
    assert len(told["tallygraph.statement"]) == len(statement_key(""))


async def test_a_query_has_a_statement_of_its_own(traced: Traced) -> None:
    (query,) = traced.collected.named("query viewer")
    below = [s.name for s in traced.collected.spans if s.parent_span_id == query.span_id]
    assert below == ["WITH"]


async def test_a_job_is_linked_to_the_request_that_wanted_it(traced: Traced) -> None:
    jobs = traced.collected.named(f"job {traced.job_name}")
    enqueued = traced.of_trace("app.retry_dead_job")
    assert len(jobs) == 2
    for job in jobs:
        assert job.trace_id.hex() != TRACE
        (link,) = job.links
        assert (link.trace_id, link.span_id) == (enqueued.trace_id, enqueued.span_id)
    first, second = sorted(jobs, key=lambda job: job.start_time_unix_nano)
    assert traced.attributes(first)["error.type"] == "ValueError"
    assert "error.type" not in traced.attributes(second)
    below = {s.name for s in traced.collected.spans if s.parent_span_id == second.span_id}
    assert {"POST", "SELECT"} <= below


async def test_whom_we_call_is_told_nothing_of_our_traces(traced: Traced) -> None:
    calls = traced.collected.named("POST")
    host = {traced.attributes(span)["server.address"] for span in calls}
    assert host == {"127.0.0.1"}
    assert len(traced.collected.calls) == 2
    assert not any("traceparent" in headers for headers in traced.collected.calls)


async def test_lines_of_the_log_name_their_trace(traced: Traced) -> None:
    of_mutation = [line for line in traced.lines if line.get("field") == "retryJob"]
    assert [line["trace_id"] for line in of_mutation] == [TRACE]
    assert of_mutation[0]["span_id"] == traced.of_trace("POST /graphql").span_id.hex()


async def test_nothing_that_is_secret_or_personal_is_in_a_span(traced: Traced) -> None:
    sent = b"".join(traced.collected.raw)
    assert b"mutation retryJob" in sent
    secrets = [
        PASSWORD,
        traced.email,
        traced.token,
        str(traced.dead_job),
        "canary",
        "select ",
        "password:",
        "Bearer",
        "example.test",
    ]
    assert [secret for secret in secrets if secret.encode() in sent] == []


async def test_who_watches_the_process_is_not_traced(traced: Traced) -> None:
    routes = {traced.attributes(s).get("http.route") for s in traced.collected.spans}
    assert routes - {None} == {"/graphql", "/files"}


def test_nothing_is_imported_or_wrapped_where_no_collector_is_named(settings: Settings) -> None:
    assert settings.otel_exporter_otlp_endpoint == ""
    assert ProcessParts() == ProcessParts(Database, Server, Worker)
    code = (
        "import sys, server.serving\n"
        "found = [m for m in sys.modules if m.split('.')[0] in ('opentelemetry', 'wrapt', 'jinja2')"
        " or m.startswith(('server.tracing', 'server.admin.pages'))]\n"
        "print(found)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


async def test_without_the_extra_the_message_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "server.tracing", None)
    wanted = settings.model_copy(update={"otel_exporter_otlp_endpoint": "http://127.0.0.1:4318"})
    with pytest.raises(SettingsError, match=r"tallygraph\[otel\]"):
        async with parts_of(wanted):
            pass
