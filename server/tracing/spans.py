"""Spans around what a process does, in classes that stand in for the ones without."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import asyncpg
from opentelemetry import trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.trace import Link, NoOpTracer, Span, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pgqueuer.domain.models import Job

from db.core.pool import Database, PooledConnection
from graph.engine.execution.engine import Engine
from graph.shared.context import RESPOND_KEY, Context
from graph.shared.traffic import FAULTS, codes_told
from jobs.core.declare import DeclaredJob, RetryLater
from jobs.core.worker import Worker
from server.app import Server

# Pages whose first part names them; whatever else is asked for is one route.
ROUTES = frozenset(
    ("graphql", "files", "webhooks", "auth", "admin", "graphiql", "payments", "sandbox")
)
# Asked for every few seconds by who watches over the process.
UNTRACED = frozenset(("/healthz", "/readyz", "/metrics"))
# A client may call its operations what it likes.
NAME_CHARACTERS = 100
_NAME = "tallygraph"
_CALLED = re.compile(r"\b(app\.\w+)\(")
_CLAIM = re.compile(r"set_config\('app\.user_id', \$\d+::text, true\)(?: as user_id)?")
_W3C = TraceContextTextMapPropagator()
_tracer: Tracer = NoOpTracer()


def use_provider(provider: TracerProvider | None) -> None:
    """From where spans come; from nowhere without one."""
    global _tracer  # noqa: PLW0603 - of the process, as its exporter is
    _tracer = NoOpTracer() if provider is None else provider.get_tracer(_NAME)


@contextmanager
def _span(
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, Any],
    context: TraceContext | None = None,
    links: list[Link] | None = None,
) -> Iterator[Span]:
    """A span; an exception leaves its type behind and goes on."""
    with _tracer.start_as_current_span(
        name,
        context,
        kind,
        attributes,
        links,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except Exception as error:
            fail(span, getattr(error, "sqlstate", None) or type(error).__name__)
            raise


def fail(span: Span, kind: str) -> None:
    """Says of a span that it failed, and how."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", kind)


class TracedApp:
    """The ASGI application with a span around each request over HTTP.

    It continues the trace that a client names in `traceparent` (W3C Trace Context).
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        route, method = _route(scope["path"]), _method(scope["method"])
        given = {"http.request.method": method, "http.route": route}
        context = _W3C.extract(_headers(scope))
        with _span(f"{method} {route}", SpanKind.SERVER, given, context) as span:
            await self._app(_told_of_answers(scope, span), receive, _watched(send, span))


def _route(path: str) -> str:
    first = path[1:].partition("/")[0]
    return f"/{first}" if first in ROUTES else "/"


def _method(method: str) -> str:
    return method if method in {"GET", "POST", "PUT", "HEAD", "OPTIONS"} else "_OTHER"


def _headers(scope: Mapping[str, Any]) -> dict[str, str]:
    wanted = (b"traceparent", b"tracestate")
    return {n.decode(): v.decode("latin-1") for n, v in scope["headers"] if n in wanted}


def _note_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        fail(span, str(status))


def _watched(send: Any, span: Span) -> Any:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            _note_status(span, message["status"])
        await send(message)

    return sending


def _told_of_answers(scope: MutableMapping[str, Any], span: Span) -> MutableMapping[str, Any]:
    """Answers of status 200 that are written at once do not pass through `send`."""
    respond = scope.get(RESPOND_KEY)
    if respond is None:
        return scope

    def responding(*answer: Any) -> Any:
        _note_status(span, 200)
        return respond(*answer)

    scope[RESPOND_KEY] = responding
    return scope


class TracedEngine(Engine):
    """An engine with a span around each query and mutation."""

    async def run(
        self,
        text: str,
        given_variables: Mapping[str, Any],
        operation_name: str | None,
        context: Context,
        *,
        mutations: bool = True,
    ) -> bytes:
        """The same, in a span that is named by the operation."""
        with _span("operation", SpanKind.INTERNAL, {}) as span:
            try:
                return await super().run(
                    text, given_variables, operation_name, context, mutations=mutations
                )
            finally:
                _name_operation(span, context)


def _name_operation(span: Span, context: Context) -> None:
    asked = context.normalized_document
    if asked is not None:
        kind, field = asked.label
        span.update_name(f"{kind} {field}")
        span.set_attribute("graphql.operation.type", kind)
        span.set_attribute("tallygraph.field", field)
        if asked.name:
            span.set_attribute("graphql.operation.name", asked.name[:NAME_CHARACTERS])
    told = codes_told.get()
    if told:
        span.set_attribute("tallygraph.codes", [str(code) for code in told])
        if not FAULTS.isdisjoint(told):
            fail(span, str(told[0]))


class TracedServer(Server):
    """An API with a span around each request and one around each operation."""

    engine_class = TracedEngine

    def __init__(self, *made_of: Any, **more: Any) -> None:
        super().__init__(*made_of, **more)
        self.app = TracedApp(self.app)


@lru_cache(maxsize=2048)
def statement_key(sql: str) -> str:
    """Names a statement: the same plan has the same key, in every process."""
    return hashlib.sha256(sql.encode()).hexdigest()[:16]


@lru_cache(maxsize=2048)
def _summary(sql: str) -> str:
    """The function that a statement calls, or how it begins."""
    called = _CALLED.search(sql)
    return called[1] if called else sql.lstrip().partition(" ")[0].upper()[:16]


@contextmanager
def _statement(sql: str) -> Iterator[Span]:
    """A span of a statement within another; what runs beside requests and jobs is not told."""
    if not trace.get_current_span().get_span_context().is_valid:
        yield trace.INVALID_SPAN
        return
    given = {
        "db.system.name": "postgresql",
        "db.query.summary": _summary(sql),
        "tallygraph.statement": statement_key(sql),
    }
    with _span(_summary(sql), SpanKind.CLIENT, given) as span:
        yield span


class TracedPooledConnection(PooledConnection):
    """A connection with a span around each prepared statement."""

    async def fetch_value(self, sql: str, arguments: list[Any] | tuple[Any, ...]) -> Any:
        """The same; what a call enqueues is told which span it was."""
        with _statement(sql) as span:
            if span.is_recording() and _CALLED.search(sql):
                sql, arguments = _carrying(sql, len(arguments)), [*arguments, _traceparent()]
            return await super().fetch_value(sql, arguments)

    async def fetch_rows(
        self, sql: str, arguments: tuple[Any, ...], timeout_seconds: float
    ) -> list[asyncpg.Record]:
        """The same."""
        with _statement(sql):
            return await super().fetch_rows(sql, arguments, timeout_seconds)


@lru_cache(maxsize=2048)
def _carrying(sql: str, count: int) -> str:
    """The statement, which also says where it belongs: a default of the queue's reads it."""
    more = f"set_config('app.traceparent', ${count + 1}::text, true)"
    return _CLAIM.sub(lambda claim: f"{claim[0]}, {more}", sql, count=1)


def _traceparent() -> str:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier["traceparent"]


class TracedRawConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection with a span around each statement that is not prepared by us."""

    async def fetch(self, query: str, *args: Any, **more: Any) -> Any:
        """The same."""
        with _statement(query):
            return await super().fetch(query, *args, **more)

    async def fetchrow(self, query: str, *args: Any, **more: Any) -> Any:
        """The same."""
        with _statement(query):
            return await super().fetchrow(query, *args, **more)

    async def fetchval(self, query: str, *args: Any, **more: Any) -> Any:
        """The same."""
        with _statement(query):
            return await super().fetchval(query, *args, **more)

    async def execute(self, query: str, *args: Any, **more: Any) -> Any:
        """The same."""
        with _statement(query):
            return await super().execute(query, *args, **more)


class TracedDatabase(Database):
    """Pools whose connections are traced."""

    raw_class = TracedRawConnection
    pooled_class = TracedPooledConnection


class TracedWorker(Worker):
    """A worker with a span around each job, linked to the request that wanted it done."""

    async def _run_job(self, job: Job, kind: DeclaredJob) -> None:
        given = {"tallygraph.job": job.entrypoint, "tallygraph.job.attempt": job.attempts + 1}
        name, links = f"job {job.entrypoint}", _links(job)
        with _span(name, SpanKind.CONSUMER, given, TraceContext(), links) as span:
            try:
                await super()._run_job(job, kind)
            except RetryLater:
                span.set_attribute("error.type", RetryLater.__name__)
                raise


def _links(job: Job) -> list[Link]:
    wanted_by = (job.headers or {}).get("traceparent")
    if not isinstance(wanted_by, str):
        return []
    context = trace.get_current_span(
        _W3C.extract({"traceparent": wanted_by}, TraceContext())
    ).get_span_context()
    return [Link(context)] if context.is_valid else []
