"""Where the pages for admins are; what they are made with is imported when somebody first asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from graph.engine.execution.engine import Engine
from server.services import Services

if TYPE_CHECKING:
    from server.admin.pages import AdminPages

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
PATH = "/admin"


def routes(services: Services, engine: Engine) -> list[Route]:
    """None, unless ADMIN_UI says so."""
    if not services.settings.admin_ui:
        return []
    pages = _Pages(services, engine)
    return [Route(PATH, pages), Route(f"{PATH}/{{path:path}}", pages)]


class _Pages:
    """The pages, made by the first request for one: the templates take 40 ms to import."""

    def __init__(self, services: Services, engine: Engine) -> None:
        self._made_of = services, engine
        self._pages: AdminPages | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if self._pages is None:
            from server.admin.pages import AdminPages

            self._pages = AdminPages(*self._made_of)
        await self._pages(scope, receive, send)
