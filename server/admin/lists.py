"""Shows a declared list: its filters, a page of it, and the way to older rows."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from server.admin.rendering import Rendering
from server.admin.views import ListView
from server.admin.visits import PageRefused, Visit

PAGE_ROWS = 50


async def show(rendering: Rendering, view: ListView, visit: Visit) -> Response:
    """A page of a list."""
    query = visit.request.query_params
    chosen = {name: query.get(name, "") for name in ("search", *(f.name for f in view.filters))}
    after = query.get("after") or None
    variables: dict[str, Any] = {"first": PAGE_ROWS, "after": after}
    if view.filters:
        given = {f.name: chosen[f.name] for f in view.filters if chosen[f.name] in f.choices}
        variables["where"] = {name: {"eq": value} for name, value in given.items()}
    if view.search:
        variables["search"] = chosen["search"].strip() or None
    answer = await visit.ask(view.document, **variables)
    page = answer.data.get(view.field)
    if page is None:
        words = " ".join(problem.message for problem in answer.problems)
        raise PageRefused(400, "This list cannot be shown", words, (view.path, "Show all"))
    kept = {name: value for name, value in chosen.items() if value}
    info = page["pageInfo"]
    return rendering.page(
        visit,
        "list.html",
        view=view,
        chosen=chosen,
        is_filtered=bool(kept),
        headers=view.columns,
        rows=[[column.cell(row) for column in view.columns] for row in page["nodes"]],
        older=_link(view.path, {**kept, "after": info["endCursor"]}) if info["hasNextPage"] else "",
        newest=_link(view.path, kept) if after else "",
    )


def _link(path: str, values: dict[str, str]) -> str:
    return f"{path}?{urlencode(values)}" if values else path
