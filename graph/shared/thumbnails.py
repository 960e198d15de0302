"""Small pictures of profiles: what clients send goes into storage, answers have links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import FieldNode, Visitor, visit

from db.core.errors import Problems
from db.profiles.thumbnails import Thumbnails, as_data_url
from graph.shared.context import Context


def thumbnails(context: Context) -> Thumbnails:
    """What keeps them in this deployment."""
    uploads = context.services.uploads
    return Thumbnails(uploads.storage, uploads.images)


async def with_thumbnail(
    context: Context, problems: Problems, values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The values of a profile of the actor's, by columns, with its picture in storage."""
    user_id = context.signed_in().user_id
    assert user_id is not None, "somebody is signed in"
    return await thumbnails(context).in_storage(user_id, problems, values, context.network)


async def show_pictures(context: Context, done: dict[str, Any]) -> None:
    """Reads the pictures of what a sync tells of, for clients that ask for them as base64."""
    paths = {path for one in done["changes"] if (path := one["thumbnail_path"])}
    if not paths or not _asks_for(context, "thumbnail"):
        return
    found = await thumbnails(context).read(paths)
    for one in done["changes"]:
        if (picture := found.get(one["thumbnail_path"])) is not None:
            one["thumbnail"] = as_data_url(picture)


class _Fields(Visitor):
    """The names of all fields in a document."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        """Notes a field."""
        self.names.add(node.name.value)


def _asks_for(context: Context, field: str) -> bool:
    """Whether the operation selects a field of this name anywhere."""
    document = context.normalized_document
    assert document is not None, "an operation is known when it runs"
    tree, fields = document.syntax(), _Fields()
    for node in (tree.node, *tree.fragments.values()):
        visit(node, fields)
    return field in fields.names
