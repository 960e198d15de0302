"""How the pages ask: as a client of the API in the same process, with the admin's own rights."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from auth.networks import client_address
from db.core.actor import NOBODY, Actor
from db.core.errors import ErrorCode
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from graph.shared.errors import RequestError
from server.services import Services

# What concerns who is asking, and so the whole page.
_ABOUT_THE_ASKER = frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class ApiProblem:
    """A refusal: its code, and its words for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What an operation answered."""

    data: Mapping[str, Any]
    problems: tuple[ApiProblem, ...]

    @property
    def is_forbidden(self) -> bool:
        """Whether it is not for who asked."""
        return any(problem.code in _ABOUT_THE_ASKER for problem in self.problems)


class Api:
    """Runs documents. There is no other way from a page to the database."""

    def __init__(self, services: Services, engine: Engine) -> None:
        self._services = services
        self._engine = engine

    async def ask(
        self,
        request: Request,
        document: str,
        variables: Mapping[str, Any] | None = None,
        actor: Actor = NOBODY,
    ) -> ApiAnswer:
        """The answer to a document; `RateLimited` as over HTTP."""
        context = Context(
            actor,
            self._services,
            f"admin-{secrets.token_hex(6)}",
            request.headers.get("user-agent"),
            client_address(request.scope),
        )
        try:
            text = await self._engine.run(document, variables or {}, None, context)
        except RequestError as error:  # a form had what its field cannot take
            return ApiAnswer({}, tuple(_problems(error.formatted())))
        answer = orjson.loads(text)
        data = answer["data"] or {}
        found = _problems(answer.get("errors", ()))
        found += [
            ApiProblem(error["code"], error["message"])
            for payload in data.values()
            if isinstance(payload, dict)
            for error in payload.get("errors", ())
        ]
        return ApiAnswer(data, tuple(found))


def _problems(errors: Iterable[Mapping[str, Any]]) -> list[ApiProblem]:
    return [ApiProblem(error["extensions"]["code"], error["message"]) for error in errors]
