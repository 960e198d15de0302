"""Strawberry's own executor over our schema, its documents parsed and validated once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Self

import orjson
import strawberry
import uvloop
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

from auth.keys import SigningKeys
from auth.tokens import AccessTokens, bearer_token
from bench.peers.bare import HEADERS, serve
from bench.peers.resolvers import Request, attach
from db.core.pool import Database
from graph.schema import root_type
from graph.shared.errors import InsufficientCreditsError, OperationError
from graph.shared.scalars import SCALARS
from settings import Settings, get_settings

# More than any rotation has: a workload must not become a measurement of evictions.
REMEMBERED_DOCUMENTS = 4_000


def make_schema() -> strawberry.Schema:
    """Our types with resolvers."""
    schema = strawberry.Schema(
        query=root_type("Query"),
        mutation=root_type("Mutation"),
        types=[OperationError, InsufficientCreditsError],
        config=StrawberryConfig(scalar_map=SCALARS),
        extensions=[
            lambda: ParserCache(maxsize=REMEMBERED_DOCUMENTS),
            lambda: ValidationCache(maxsize=REMEMBERED_DOCUMENTS),
        ],
    )
    attach(schema._schema)
    return schema


class Application:
    """The ASGI application."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._tokens = AccessTokens(SigningKeys.load(settings), settings)
        self._schema = make_schema()

    @classmethod
    async def start(cls, settings: Settings) -> Self:
        """Connects to the database."""
        return cls(await Database.connect(settings.database_url, settings), settings)

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answers one request."""
        token = bearer_token(dict(scope["headers"])[b"authorization"].decode())
        assert token is not None
        actor = self._tokens.verify(token)
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        request = orjson.loads(body)
        async with self._database.transaction(actor) as transaction:
            result = await self._schema.execute(
                request["query"], request.get("variables"), Request(actor, transaction)
            )
        shown: dict[str, Any] = {"data": result.data}
        if result.errors:
            shown["errors"] = [error.formatted for error in result.errors]
        answer = orjson.dumps(shown)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": answer})


async def main(port: int) -> None:
    """Serves until it is told to stop."""
    await serve(await Application.start(get_settings()), port)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])), loop_factory=uvloop.new_event_loop)
