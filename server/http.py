"""GraphQL over HTTP: a request comes in as JSON, its answer goes out as bytes."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Hashable, MutableMapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs

import orjson
import structlog
from graphql import OperationType

from auth.api_keys import KEY_START, ApiKeys
from auth.foreign_tokens import ForeignTokens
from auth.networks import client_address, network_of
from auth.tokens import bearer_token, carries_token, never_in_urls
from auth.turns import Turns
from db.core.actor import NOBODY, Actor
from db.core.errors import DomainError, ErrorCode, RateLimited
from graph.engine.documents.cache import ByteBoundedCache
from graph.engine.documents.costs import asks_for_cost
from graph.engine.documents.persisted import names_document
from graph.engine.documents.variables import as_shown
from graph.engine.execution.engine import Engine
from graph.shared.context import BODY_KEY, CONTEXT_KEY, Context
from graph.shared.errors import RequestError, domain_error, masked, top_level
from graph.shared.json_input import InvalidJson, parse_json
from graph.shared.loop_turns import LoopTurns
from graph.shared.traffic import codes_told
from graph.shared.unstorable import Place
from server.answers import NOT_MODIFIED, Answer, Answers
from server.media_types import JSON_TYPE, RESPONSE_TYPE, is_json, response_type
from server.public_answers import NOT_KEPT, PublicAnswers, is_known
from server.rate_headers import RateHeaders
from server.remembered_answers import RememberedAnswers
from server.services import Services

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]

BODY_TIMEOUT_SECONDS = 30.0
REMEMBERED_HEADERS = 4096
OBJECT = (dict, type(None))
# What declares 100,000 bytes or more.
LARGE_BODY_DIGITS = 6
# Of one user; each is up to a megabyte.
LARGE_BODIES_WAITING = 32
# A megabyte of the smallest values takes 50 ms to read: one of these is read in a turn of the loop.
LARGE_BODY_BYTES = 65_536
KNOWN_BODIES_BYTES = 4 * 1024 * 1024
# A known body, what was read from it, and the objects around them.
KNOWN_BODY_COPIES = 4
# What refuses a body does not wait for the rest of it.
CLOSING = ((b"connection", b"close"),)
CHALLENGE = ((b"www-authenticate", b'Bearer error="invalid_token"'),)
log = structlog.get_logger("tallygraph.http")
# Random for each process, then counted: asking the system for randomness each time is slower.
_PROCESS_ID = secrets.token_hex(4)
_numbers = count(1)


@dataclass
class Refusal(Exception):
    """A request that is not GraphQL over HTTP; `status` says in HTTP's words why."""

    status: int
    error: DomainError
    headers: tuple[tuple[bytes, bytes], ...] = ()
    # To the value at fault, as the errors of variables have it.
    path: Place = ()

    def shown(self) -> dict[str, Any]:
        """The error as a client sees it."""
        shown = top_level(self.error)
        if self.path:
            shown["extensions"]["path"] = list(self.path)
        return shown


class DeadToken(Refusal):
    """A request whose token is malformed, expired or revoked."""


def _refuse(
    status: int,
    message: str,
    code: ErrorCode = ErrorCode.BAD_USER_INPUT,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Refusal:
    return Refusal(status, DomainError(code, message), headers)


@dataclass(frozen=True, slots=True)
class Asked:
    """A GraphQL request, its variables and the name of its operation."""

    request: dict[str, Any]
    variables: dict[str, Any]
    name: str | None


class GraphQLHttp:
    """The ASGI application behind POST and GET /graphql."""

    def __init__(self, engine: Engine, services: Services) -> None:
        self._engine = engine
        self._services = services
        self._api_keys = services.of(ApiKeys.of)
        self._foreign = services.of(ForeignTokens.of)
        self._limit_bytes = services.settings.body_limit_bytes
        self._known = ByteBoundedCache[bytes, Asked](KNOWN_BODIES_BYTES)
        self.remembered = RememberedAnswers()
        self._large_bodies = LoopTurns(1)
        self._large_writes = Turns[Hashable](LARGE_BODIES_WAITING)
        self._traffic = services.traffic
        self._answers = Answers(RateHeaders(services.queries))
        self._public = PublicAnswers(services.settings.public_cache_seconds)
        self._logs_requests = log.is_enabled_for(logging.INFO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; whatever happens, the client gets a coded error."""
        started = perf_counter()
        told: list[str] = []
        codes_told.set(told)
        request_id = f"{_PROCESS_ID}{next(_numbers):08x}"
        headers: Headers = dict(scope["headers"])
        asked = response_type(_accept(scope["headers"], headers))
        media = asked or JSON_TYPE
        extra: tuple[tuple[bytes, bytes], ...] = ()
        try:
            if asked is None:
                raise _refuse(406, f"This answers in {RESPONSE_TYPE.decode()} or application/json.")
            status, body = await self._answer(scope, receive, headers, media, request_id)
        except Refusal as refusal:
            status, extra = refusal.status, refusal.headers
            body = b'{"errors":' + orjson.dumps([refusal.shown()]) + b"}"
        except asyncio.CancelledError:
            if CONTEXT_KEY not in scope or not scope[CONTEXT_KEY].client_left:
                raise
            log.info("client_left", request_id=request_id)
            return
        except Exception as error:
            known = domain_error(error)
            if known is None:
                log.exception("request_failed", request_id=request_id)
            status = 503 if known else 500
            shown = top_level(known or masked(request_id))
            body = b'{"errors":' + orjson.dumps([shown]) + b"}"
        answer = Answer(status, body, media, request_id, extra)
        if status == 200 and not told and self._public.may_keep(scope["method"], headers):
            answer = self._kept(answer, headers)
        # Of pages of other origins, CORS adds headers on the way.
        is_plain = status == 200 and b"origin" not in headers and answer.caching is NOT_KEPT
        await self._answers.send(scope, send, answer, is_plain=is_plain)
        self._note(scope, request_id, status, perf_counter() - started, told)

    def _kept(self, answer: Answer, headers: Headers) -> Answer:
        """An answer that is everybody's, or that who asks has it already."""
        if not answer.body.startswith(b'{"data"'):
            return answer
        caching = self._public.caching(answer.body)
        if is_known(headers.get(b"if-none-match"), answer.body):
            return replace(answer, status=NOT_MODIFIED, body=b"", caching=caching)
        return replace(answer, caching=caching)

    def _note(
        self, scope: Scope, request_id: str, status: int, seconds: float, told: list[str]
    ) -> None:
        """Counts the request and logs it: who asked for what, and never with which values."""
        context: Context | None = scope.get(CONTEXT_KEY)
        asked = context.normalized_document if context else None
        self._traffic.responses["graphql", status] += 1
        if asked is not None:
            self._traffic.answered(asked.label, seconds, told)
        if self._logs_requests:
            log.info(
                "request",
                request_id=request_id,
                status=status,
                milliseconds=round(seconds * 1000, 1),
                address=client_address(scope),
                **(context.told() if context else {}),
                errors=told,
            )

    def _remembered_answer(self, scope: Scope, headers: Headers, request_id: str) -> bytes | None:
        """What the same request was answered, while that holds; it costs what it did."""
        known = self.remembered.get(scope, headers)
        if known is None:
            return None
        _check_post(headers)
        context = self._context(NOBODY, scope, headers, request_id)
        context.normalized_document = known.document
        try:
            self._services.queries.charge(NOBODY, context.network, known.cost)
        except RateLimited as error:
            raise _too_many(error) from None
        return known.answer

    def _context(self, actor: Actor, scope: Scope, headers: Headers, request_id: str) -> Context:
        user_agent = headers.get(b"user-agent")
        context = Context(
            actor,
            self._services,
            request_id,
            user_agent.decode("latin-1") if user_agent else None,
            client_address(scope),
            keeps_room=True,
        )
        scope[CONTEXT_KEY] = context
        return context

    async def _answer(
        self, scope: Scope, receive: Receive, headers: Headers, media: bytes, request_id: str
    ) -> tuple[int, bytes]:
        if (remembered := self._remembered_answer(scope, headers, request_id)) is not None:
            return 200, remembered
        actor, asked = await self._ask(scope, receive, headers)
        variables, name = asked.variables, asked.name
        context = self._context(actor, scope, headers, request_id)
        try:
            text = self._engine.text_at_once(asked.request, name)
            if text is None:
                text = await self._engine.text(asked.request, name, context.network)
            if scope["method"] == "GET":
                await self._refuse_get_mutation(text, name, context.network)
            if len(headers.get(b"content-length", b"")) < LARGE_BODY_DIGITS:
                answer = await self._engine.run(text, variables, name, context)
            else:
                answer = await self._run_large(text, variables, context, name)
            if asks_for_cost(asked.request):
                answer = self._engine.documents.with_cost(answer, text, name, variables)
            self.remembered.keep(scope, context, answer)
            return 200, answer
        except asyncio.CancelledError:
            context.leave_room()
            raise
        except RateLimited as error:
            raise _too_many(error) from None
        except RequestError as error:
            # An older client reads `errors` of a 200; the newer media type has HTTP's own words.
            status = 400 if media == RESPONSE_TYPE else 200
            return status, b'{"errors":' + orjson.dumps(error.formatted()) + b"}"

    async def _run_large(
        self, text: str, variables: dict[str, Any], context: Context, name: str | None
    ) -> bytes:
        """The answer to a large body, which takes Postgres long: a user has one at a time."""
        async with self._large_writes.of(context.actor.user_id or context.network):
            return await self._engine.run(text, variables, name, context)

    async def _ask(self, scope: Scope, receive: Receive, headers: Headers) -> tuple[Actor, Asked]:
        """Who asks what. A body without variables is the same from many, and read only once."""
        body = scope.get(BODY_KEY) if scope["method"] == "POST" else None
        known = self._known.get(body) if body else None
        if known is not None:
            try:
                _refuse_token_in_url(scope)
                actor = self._authenticate(headers)
                if isinstance(actor, str):
                    actor = await self._look_up(actor, scope)
            except DeadToken:
                network = network_of(client_address(scope))
                if not await self._engine.ignores_dead_token(known.request, known.name, network):
                    raise
                actor = NOBODY
            _check_post(headers)
            return actor, known
        actor, request = await self.read_request(scope, receive, headers)
        variables, name = parts_of(request)
        if body and not variables:
            self._known.put(body, Asked(request, {}, name), KNOWN_BODY_COPIES * len(body))
        return actor, Asked(request, variables, name)

    async def read_request(
        self, scope: Scope, receive: Receive, headers: Headers
    ) -> tuple[Actor, dict[str, Any]]:
        """Who asks, and the GraphQL request; `Refusal` when it is none.

        Only a dead token makes it look at the document: some requests are there to replace it.
        """
        try:
            return await self._read_request(scope, receive, headers)
        except DeadToken as dead:
            if scope["method"] != "POST" or not (
                request := await self._request_without_token(scope, receive, headers)
            ):
                raise dead from None
            return NOBODY, request

    async def _request_without_token(
        self, scope: Scope, receive: Receive, headers: Headers
    ) -> dict[str, Any] | None:
        try:
            request = await self._read_post(scope, receive, headers)
            _, name = parts_of(request)
        except Refusal:
            return None
        network = network_of(client_address(scope))
        is_ignored = await self._engine.ignores_dead_token(request, name, network)
        return request if is_ignored else None

    async def _read_request(
        self, scope: Scope, receive: Receive, headers: Headers
    ) -> tuple[Actor, dict[str, Any]]:
        method = scope["method"]
        if method not in {"GET", "POST"}:
            raise _refuse(405, "Use POST, or GET for queries.", headers=((b"allow", b"GET, POST"),))
        _refuse_token_in_url(scope)
        actor = self._authenticate(headers)
        if isinstance(actor, str):
            actor = await self._look_up(actor, scope)
        if method == "POST":
            await self._refuse_early(scope, headers, actor)
            return actor, await self._read_post(scope, receive, headers)
        return actor, _read_get(scope["query_string"])

    async def _refuse_early(self, scope: Scope, headers: Headers, actor: Actor) -> None:
        """Reads no large body of who has made too many changes: it is hardly a query."""
        if len(headers.get(b"content-length", b"")) < LARGE_BODY_DIGITS:
            return
        try:
            network = network_of(client_address(scope))
            await self._services.mutations.refuse_early(actor, network)
        except RateLimited as error:
            raise _too_many(error, CLOSING) from None

    def _authenticate(self, headers: Headers) -> Actor | str:
        """Who asks; an API key or a foreign token itself: whose it is takes a look elsewhere."""
        authorization = headers.get(b"authorization")
        if authorization is None:
            return NOBODY
        try:
            token = _token_in(authorization)
            if token.startswith(KEY_START):
                return token
            try:
                return self._services.tokens.verify(token)
            except DomainError:
                if self._foreign.may_be(token):
                    return token
                raise
        except DomainError as error:
            raise DeadToken(401, error, CHALLENGE) from None

    async def _look_up(self, token: str, scope: Scope) -> Actor:
        """Whose API key it is, its request counted; or whose foreign token."""
        try:
            if not token.startswith(KEY_START):
                agent = Headers(scope["headers"]).get(b"user-agent")
                return await self._foreign.admit(
                    token,
                    address=client_address(scope),
                    user_agent=agent.decode("latin-1") if agent else None,
                )
            actor = await self._api_keys.verify(token, network_of(client_address(scope)))
            self._api_keys.admit(actor)
        except RateLimited as error:
            raise _too_many(error, CLOSING) from None
        except DomainError as error:
            if error.code is not ErrorCode.UNAUTHENTICATED:
                raise
            raise DeadToken(401, error, CHALLENGE) from None
        return actor

    async def _refuse_get_mutation(self, text: str, name: str | None, network: str) -> None:
        operation = await self._engine.operation(text, name, network)
        if operation.kind is OperationType.MUTATION:
            raise _refuse(405, "Send mutations with POST.", headers=((b"allow", b"POST"),))

    async def _read_post(self, scope: Scope, receive: Receive, headers: Headers) -> Any:
        _check_post(headers)
        body = await self._read_body(scope, receive, headers)
        if len(body) > LARGE_BODY_BYTES:
            await self._large_bodies.turn(network_of(client_address(scope)))
        request = _parse(body, "The body")
        if isinstance(request, dict) and isinstance(variables := request.get("variables"), dict):
            request["variables"] = as_shown(variables, body)
        return request

    async def _read_body(self, scope: Scope, receive: Receive, headers: Headers) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._limit_bytes:
            raise self._too_large()
        if (whole := scope.get(BODY_KEY)) is not None and len(whole) <= self._limit_bytes:
            return bytes(whole)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                return await self._collect(receive)
        except TimeoutError:
            raise _refuse(408, "The body did not arrive in time.", headers=CLOSING) from None

    async def _collect(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _refuse(400, "The connection closed before the body ended.")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._limit_bytes:
                raise self._too_large()
            if not message.get("more_body"):
                return b"".join(chunks)

    def _too_large(self) -> Refusal:
        return _refuse(
            413,
            f"A request may have at most {self._limit_bytes} bytes. "
            "Upload files with createUpload.",
            ErrorCode.LIMIT_EXCEEDED,
            CLOSING,
        )


def _too_many(error: RateLimited, more: tuple[tuple[bytes, bytes], ...] = ()) -> Refusal:
    return Refusal(429, error, ((b"retry-after", b"%d" % error.retry_after_seconds), *more))


def _refuse_token_in_url(scope: Scope) -> None:
    if scope["query_string"] and carries_token(scope["query_string"]):
        raise Refusal(400, never_in_urls())


def _check_post(headers: Headers) -> None:
    if not is_json(headers.get(b"content-type", b"")):
        raise _refuse(415, "Send the request as application/json in UTF-8.")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        plain = ((b"accept-encoding", b"identity"),)
        raise _refuse(415, "Send the request without a content encoding.", headers=plain)


@lru_cache(maxsize=REMEMBERED_HEADERS)
def _token_in(authorization: bytes) -> str:
    token = bearer_token(authorization.decode("latin-1"))
    assert token is not None, "there is a header"
    return token


def _read_get(query_string: bytes) -> dict[str, Any]:
    try:
        values = parse_qs(query_string.decode(), errors="strict", max_num_fields=10)
    except ValueError:
        raise _refuse(400, "The query string is not valid.") from None
    request: dict[str, Any] = {name: found[-1] for name, found in values.items()}
    for name in ("variables", "extensions"):
        if name in request:
            request[name] = _parse(request[name], f"`{name}`")
    return request


def _parse(text: bytes | str, what: str) -> Any:
    try:
        return parse_json(text)
    except InvalidJson as error:
        path = error.path[1:] if error.path[:1] == ("variables",) else error.path
        refused = DomainError(ErrorCode.BAD_USER_INPUT, f"{what} is {error}.")
        raise Refusal(400, refused, path=path) from None


def _accept(sent: list[tuple[bytes, bytes]], headers: Headers) -> bytes:
    """The Accept header; a list may come in several lines."""
    if len(sent) == len(headers):
        return headers.get(b"accept", b"")
    return b",".join(value for name, value in sent if name == b"accept")


def parts_of(request: Any) -> tuple[dict[str, Any], str | None]:
    """Variables and operation name of a request; `Refusal` when it is no GraphQL request."""
    if isinstance(request, list):
        raise _refuse(400, "Batches are not served: send one operation in each request.")
    if not isinstance(request, dict):
        raise _refuse(400, "The body must be a JSON object with `query`.")
    text, name = request.get("query"), request.get("operationName")
    variables, extensions = request.get("variables"), request.get("extensions")
    is_sent = isinstance(text, str) and text.strip()
    if not is_sent and not (text is None and names_document(request)):
        raise _refuse(400, "The request needs `query`, the text of a GraphQL document.")
    if name is not None and not isinstance(name, str):
        raise _refuse(400, "`operationName` must be a string.")
    if not isinstance(variables, OBJECT) or not isinstance(extensions, OBJECT):
        raise _refuse(400, "`variables` and `extensions` must be JSON objects.")
    return variables or {}, name or None
