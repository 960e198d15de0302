"""Relay's conventions: global ids, connections, and the cursors of keyset pages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Generic, NewType, TypeVar
from uuid import UUID

import orjson
import strawberry

from db.core.errors import DomainError, Problems, bad_input, not_found

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
CURSOR_VERSION = "1"
NO_ROW = UUID(int=0)

Cursor = NewType("Cursor", str)
# Strawberry resolves annotations from the module, so the variable must be found there.
Item = TypeVar("Item")


@strawberry.interface(description="An object with a global id, which `node(id:)` finds again.")
class Node:
    """What every object with a global id has."""

    id: strawberry.ID = strawberry.field(description="Global id, unique across all types.")


@strawberry.type(description="Where a page begins and ends, and whether there is more.")
class PageInfo:
    """The position of a page in its connection (Relay's connection specification)."""

    has_next_page: bool = strawberry.field(
        description="Whether there are items after this page; when paging backward, whether "
        "`before` was given."
    )
    has_previous_page: bool = strawberry.field(
        description="Whether there are items before this page; when paging forward, whether "
        "`after` was given."
    )
    start_cursor: Cursor | None = strawberry.field(
        description="The first item's cursor; pass it as `before` for the previous page."
    )
    end_cursor: Cursor | None = strawberry.field(
        description="The last item's cursor; pass it as `after` for the next page."
    )


@strawberry.type(description="An item with its position.")
class Edge(Generic[Item]):  # noqa: UP046
    """An item of a page with its cursor."""

    cursor: Cursor = strawberry.field(description="The item's position, for `after`.")
    node: Item = strawberry.field(description="The item.")


@strawberry.type(description="One page of a list.")
class Connection(Generic[Item]):  # noqa: UP046
    """A page of a list."""

    nodes: list[Item] = strawberry.field(description="The items of this page.")
    edges: list[Edge[Item]] = strawberry.field(description="The items with their cursors.")
    page_info: PageInfo = strawberry.field(description="Where this page begins and ends.")
    total_count: int = strawberry.field(
        description="How many items the whole list has under `where`, counted to 10,000: that "
        "number means 10,000 or more. Counted only when asked for."
    )


def node_arguments(
    self: Any,
    id: Annotated[strawberry.ID, strawberry.argument(description="A global id.")],
) -> Any:
    """The arguments of `node`; the engine itself answers."""
    raise AssertionError("the engine answers nodes")  # pragma: no cover


def nodes_arguments(
    self: Any,
    ids: Annotated[
        list[strawberry.ID], strawberry.argument(description="Global ids, at most 100.")
    ],
) -> Any:
    """The arguments of `nodes`; the engine itself answers."""
    raise AssertionError("the engine answers nodes")  # pragma: no cover


def watch_arguments(
    self: Any,
    after: Annotated[
        Cursor | None,
        strawberry.argument(
            description="Continue behind this cursor; CURSOR_EXPIRED after 7 days."
        ),
    ] = None,
) -> AsyncIterator[Any]:
    """The arguments of a subscription; the engine itself streams."""
    raise AssertionError("the engine streams")  # pragma: no cover


def watch_entity_arguments(
    self: Any,
    id: Annotated[strawberry.ID, strawberry.argument(description="Which one to watch.")],
    after: Annotated[
        Cursor | None,
        strawberry.argument(
            description="Continue behind this cursor; CURSOR_EXPIRED after 7 days."
        ),
    ] = None,
) -> AsyncIterator[Any]:
    """The arguments of a subscription to one object; the engine itself streams."""
    raise AssertionError("the engine streams")  # pragma: no cover


def watch_entries_arguments(
    self: Any,
    product_id: Annotated[
        strawberry.ID, strawberry.argument(description="The developer product's global id.")
    ],
    after: Annotated[
        Cursor | None,
        strawberry.argument(
            description="Continue behind this cursor; CURSOR_EXPIRED after 7 days."
        ),
    ] = None,
) -> AsyncIterator[Any]:
    """The arguments of a subscription to the whitelist of one product."""
    raise AssertionError("the engine streams")  # pragma: no cover


def watch_whitelist_arguments(
    self: Any,
    system_id: Annotated[
        strawberry.ID, strawberry.argument(description="The whitelist's global id.")
    ],
    after: Annotated[
        Cursor | None,
        strawberry.argument(
            description="Continue behind this cursor; CURSOR_EXPIRED after 7 days."
        ),
    ] = None,
) -> AsyncIterator[Any]:
    """The arguments of a subscription to the rows of one parent; the engine itself streams."""
    raise AssertionError("the engine streams")  # pragma: no cover


def split_global_id(value: str) -> tuple[str, str]:
    """A global id's prefix and key; an id without a prefix gives an empty prefix."""
    prefix, separator, key = value.partition("_")
    return (prefix, key) if separator else ("", value)


def in_words(prefix: str) -> str:
    """What a prefix names, as people write it: `deadJob` is a dead job."""
    return re.sub("([A-Z])", r" \1", prefix).lower()


def uuid_from_global_id(value: str, prefix: str, *path: str) -> UUID:
    """The UUID in a global id of the type with `prefix`; anything else is an id of nothing."""
    found, key = split_global_id(value)
    try:
        if found == prefix:
            return UUID(key)
    except ValueError:
        pass
    raise not_found(in_words(prefix), path)


def noted_uuid(problems: Problems, value: str, prefix: str, *path: str) -> UUID:
    """The same; an id of nothing is noted as a problem, and stands for a row that cannot be."""
    return problems.of(uuid_from_global_id, value, prefix, *path) or NO_ROW


def slug_from_global_id(value: str, prefix: str) -> str:
    """The slug in a catalog's global id, or the slug itself."""
    found, key = split_global_id(value)
    return key if found == prefix else value


def decode_cursor(cursor: str, order: str, length: int) -> list[Any]:
    """The values a cursor holds; `BAD_USER_INPUT` when it was not made for this order."""
    try:
        values = orjson.loads(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError):
        values = None
    if not isinstance(values, list) or values[:2] != [CURSOR_VERSION, order]:
        raise bad_cursor()
    if len(values) != length + 2:
        raise bad_cursor()
    return values[2:]


def bad_cursor() -> DomainError:
    """The refusal of a cursor that is malformed or of another list."""
    return bad_input(
        "This cursor does not belong to this list. Use an endCursor of the same field.", "after"
    )
