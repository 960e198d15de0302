"""The ASGI application: its routes, and what lives from its start to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

from auth.accounts import Accounts
from auth.attempts import Attempts
from auth.failed_attempts import FailedAttempts
from auth.foreign_tokens import ForeignTokens
from auth.keys import SigningKeys
from auth.last_seen import LastSeen
from auth.mutation_rates import MutationRates
from auth.passwords import PasswordHasher
from auth.query_rates import QueryRates
from auth.revocation_watch import RevocationWatch
from auth.sessions import Sessions
from auth.shared_rates import SharedRates
from auth.tokens import AccessTokens
from db.accounts.operations import loaded_seed
from db.campaigns.receiving import ContactReceiver
from db.core.actor import SERVICE
from db.core.pool import Database
from db.files.image_variants import ImageVariants
from db.files.images import ImageWorker
from db.files.storage import Storage
from db.marketplace.operations import publish_terms
from db.marketplace.receiving import ProductReceiver
from db.uploads.operations import UploadLimits, publish_limits
from db.uploads.receiving import UploadReceiver
from db.vault.sealing import Vault
from db.vault.watching import VaultKeys
from graph.engine.documents.limits import Limits
from graph.engine.documents.persisted import load_trusted_documents
from graph.engine.execution.engine import Engine
from graph.graphiql import routes as graphiql
from graph.live.access import AccessWatch
from graph.live.bus import WakeBus
from graph.live.clients import ClientLimits, Clients
from graph.live.hub import EventHub
from graph.live.source import LiveOperations
from graph.live.transport import GraphQLWebSocket
from graph.schema import build_schema
from graph.shared.answer_memory import AnswerMemory
from graph.shared.licence_checks import LicenceChecks
from graph.shared.switches import SwitchWatch
from graph.shared.traffic import Traffic
from graph.uploads import links
from server import catalog_pictures, files, sign_in_routes, telephony, webhooks
from server.admin import routes as admin_pages
from server.connections import ConnectionShares
from server.developer_api.request_log import RequestLog
from server.developer_api.routes import PREFIX as DEVELOPER_PREFIX
from server.developer_api.routes import routes as developer_routes
from server.event_streams import EventStreams, wants_stream
from server.http import GraphQLHttp
from server.metrics import MetricsPage, ProcessMetrics
from server.operation_counts import OperationCounts
from server.process_group import ProcessGroup
from server.rate_reports import RateReports
from server.services import Services
from settings import DEMO_ORIGINS, Settings

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
GRAPHQL_PATH = "/graphql"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


class Server:
    """One process's API: made before it listens, closed after it has stopped."""

    engine_class: ClassVar[type[Engine]] = Engine

    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        bus: WakeBus,
        process_group: ProcessGroup | None = None,
    ) -> None:
        trusted = settings.trusted_documents
        self.services = make_services(settings, database, storage, bus)
        self.engine = self.engine_class(
            build_schema(),
            database,
            introspection=settings.introspection,
            limits=Limits.of(settings),
            trusted=load_trusted_documents(Path(trusted)) if trusted else None,
        )
        self._access = AccessWatch(database, self.services.hub)
        self._rate_reports = RateReports(self.services.rates, bus)
        self._operation_counts = OperationCounts(database, self.services.traffic)
        self.clients = Clients(ClientLimits.of(settings))
        operations, is_origin_allowed = (
            LiveOperations(self.engine, self.services),
            origin_check(settings),
        )
        self.sockets = GraphQLWebSocket(
            operations, self.clients, is_origin_allowed=is_origin_allowed
        )
        self.process_group = process_group or ProcessGroup()
        self.shares = ConnectionShares(settings.connections_per_address, settings.trusted_proxies)
        self.process_metrics = ProcessMetrics(self.services, self.clients, self.shares)
        self.draining = False
        self.http = GraphQLHttp(self.engine, self.services)
        self._streams = EventStreams(
            operations, self.clients, self.http, is_origin_allowed=is_origin_allowed
        )
        self._pages = self._make_pages(storage)
        self._playground = RedirectResponse("/graphiql", 303) if settings.graphiql else None
        self.app: Asgi = with_cors(self._dispatch, settings)

    async def start(self) -> None:
        """Begins what runs beside requests."""
        database = self.services.database
        await database.at_start(self._publish_limits)
        await self.services.hub.start()
        self.services.of(LicenceChecks.of).follow(self.services.hub)
        await self._access.start()
        await database.at_start(self.services.revocations.start)
        await self._rate_reports.start()
        self._operation_counts.start()
        await self.services.of(SwitchWatch.of).start()
        self.services.of(LastSeen.of).start()
        self.services.of(RequestLog.of).start()
        self.services.of(ForeignTokens.of).start()
        await self.process_group.start(self.process_metrics.tell)

    async def _publish_limits(self) -> None:
        async with self.services.database.transaction(SERVICE) as transaction:
            await publish_limits(transaction.connection, self.services.uploads.limits)
            fee = self.services.settings.platform_fee_basis_points
            await publish_terms(transaction.connection, fee)

    async def stop(self) -> None:
        """Ends it; sockets were told before."""
        await self.process_group.stop()
        await self._operation_counts.stop()
        await self._rate_reports.stop()
        await self.services.of(ForeignTokens.of).stop()
        await self.services.of(RequestLog.of).stop()
        await self.services.of(LastSeen.of).stop()
        await self.services.of(SwitchWatch.of).stop()
        await self.services.revocations.stop()
        await self.services.failures.stop()
        await self._access.stop()
        await self.services.hub.stop()
        self.services.passwords.close()

    async def drain(self) -> None:
        """Called when shutting down begins: not ready any more, clients reconnect elsewhere."""
        self.draining = True
        await self.clients.shutdown()

    def _dispatch(
        self, scope: MutableMapping[str, Any], receive: Any, send: Any
    ) -> Awaitable[None]:
        # Not a coroutine itself: each one around a request costs it a microsecond.
        if scope["type"] == "http" and scope["path"] == GRAPHQL_PATH:
            if scope["method"] == "GET" and self._playground and wants_page(scope):
                return self._playground(scope, receive, send)
            answer = self._streams if wants_stream(scope["headers"]) else self.http
            return answer(scope, receive, send)
        if scope["type"] == "websocket":
            return self._socket(scope, receive, send)
        if scope["method"] == "PUT":
            return self._put(scope, receive, self._page_send(scope, send))
        return self._pages(scope, receive, self._page_send(scope, send))

    def _page_send(self, scope: MutableMapping[str, Any], send: Any) -> Any:
        """Adds the headers of pages to what is sent, and counts it."""
        route = "files" if scope["path"].startswith("/files/") else "pages"
        return with_security_headers(send, partial(self._count_response, route))

    def _count_response(self, route: str, status: int) -> None:
        self.services.traffic.responses[route, status] += 1

    async def _put(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """A photo arrives: its upload may be watched."""
        await self._pages(scope, receive, send)
        self.services.wake()

    async def _socket(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == GRAPHQL_PATH:
            await self.sockets(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 4404})

    def _make_pages(self, storage: Storage) -> Starlette:
        settings, database = self.services.settings, self.services.database
        metrics = MetricsPage(settings, database, self.process_metrics, self.process_group)
        pages = Starlette(
            routes=[
                Route(
                    "/",
                    lambda _: RedirectResponse("/graphiql" if settings.graphiql else "/healthz"),
                ),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", metrics.__call__),
                Route("/.well-known/jwks.json", self._jwks),
                *graphiql.routes(settings, partial(loaded_seed, database)),
                *admin_pages.routes(self.services, self.engine),
                *catalog_pictures.routes(),
                *files.routes(),
                *sign_in_routes.routes(self.services),
                *webhooks.routes(self.services),
                *telephony.routes(self.services),
                *developer_routes(self.services, self.engine),
            ]
        )
        pages.state.files = files.Files(
            storage,
            links(),
            self.services.uploads,
            ImageVariants(storage, self.services.images),
            ContactReceiver(self.services.database, storage),
            ProductReceiver(self.services.database, storage),
        )
        return pages

    async def _healthz(self, _: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def _readyz(self, _: Request) -> JSONResponse:
        if self.draining:
            return JSONResponse({"status": "draining"}, 503)
        try:
            async with self.services.database.transaction(SERVICE) as transaction:
                await transaction.connection.fetchval("select 1")
            if await self.services.of(VaultKeys.of).missing():
                return JSONResponse({"status": "vault key missing"}, 503)
        except Exception:  # whatever it is, this process cannot serve now
            return JSONResponse({"status": "database unavailable"}, 503)
        return JSONResponse({"status": "ready"})

    async def _jwks(self, _: Request) -> JSONResponse:
        headers = {"Cache-Control": "public, max-age=300"}
        return JSONResponse(self.services.keys.jwks(), headers=headers)


def make_services(
    settings: Settings, database: Database, storage: Storage, bus: WakeBus
) -> Services:
    """The services of one process."""
    keys = SigningKeys.load(settings)
    tokens = AccessTokens(keys, settings)
    passwords = PasswordHasher()
    rates = SharedRates.of(settings)
    bus.hear_reports(rates.hear)
    attempts = Attempts(settings.failed_sign_ins_per_address, shared=rates)
    failures = FailedAttempts(database)
    sessions = Sessions(tokens, settings)
    vault = Vault(settings)  # Its key is missed now, or by the first who needs it.
    if settings.production:
        vault.warm()
    images = ImageWorker(settings.upload_limit_pixels, memory_bytes=settings.picture_memory_bytes)
    return Services(
        settings=settings,
        traffic=Traffic(),
        database=database,
        keys=keys,
        tokens=tokens,
        passwords=passwords,
        attempts=attempts,
        failures=failures,
        sessions=sessions,
        accounts=Accounts(database, passwords, attempts, failures, tokens, sessions, settings),
        revocations=RevocationWatch(database, tokens.revoked),
        hub=EventHub(database, bus),
        images=images,
        uploads=UploadReceiver(database, storage, images, UploadLimits.of(settings)),
        answers=AnswerMemory.of(settings),
        mutations=MutationRates(settings, shared=rates),
        queries=QueryRates(settings, shared=rates),
        rates=rates,
    )


def wants_page(scope: MutableMapping[str, Any]) -> bool:
    """Whether somebody has opened the address in a browser, and asks for nothing else."""
    if scope["query_string"]:
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def origin_check(settings: Settings) -> Callable[[str | None], bool]:
    """Which pages may open sockets: our own, and those CORS lets in."""
    import re

    own = settings.base_url
    pattern = None if settings.production else re.compile(DEMO_ORIGINS)

    def allowed(origin: str | None) -> bool:
        if origin is None or origin == own or origin in settings.cors_origins:
            return True
        return pattern is not None and pattern.fullmatch(origin) is not None

    return allowed


def with_cors(app: Asgi, settings: Settings) -> Asgi:
    """Lets the listed pages call; the demo also lets in every page on this machine."""
    guarded = CORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_origin_regex=None if settings.production else DEMO_ORIGINS,
        allow_methods=["GET", "POST", "PUT"],
        allow_headers=["authorization", "content-type", "last-event-id"],
        expose_headers=["x-request-id", "ratelimit", "ratelimit-policy", "retry-after"],
        max_age=600,
    )
    # No cookie leads to anything there, so any page may ask with a key that it has.
    developers = CORSMiddleware(
        app,
        allow_origins=["*"],
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["authorization", "content-type", "x-api-key", "idempotency-key"],
        expose_headers=[
            "x-request-id",
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "retry-after",
        ],
        max_age=600,
    )

    def only_for_pages(scope: MutableMapping[str, Any], receive: Any, send: Any) -> Awaitable[None]:
        # Apps and servers send no Origin; they need not pay for what protects browsers.
        for name, _ in scope["headers"]:
            if name == b"origin":
                if scope["path"].startswith(DEVELOPER_PREFIX):
                    return developers(scope, receive, send)
                return guarded(scope, receive, send)
        return app(scope, receive, send)

    return only_for_pages


def with_security_headers(send: Any, count: Callable[[int], None]) -> Any:
    """Adds the headers every page has, unless the page sets its own, and counts its status."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            count(message["status"])
            present = {name.lower() for name, _ in message["headers"]}
            missing = [pair for pair in SECURITY_HEADERS if pair[0] not in present]
            message = {**message, "headers": [*message["headers"], *missing]}
        await send(message)

    return sending


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    """The server from its start to its end."""
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
