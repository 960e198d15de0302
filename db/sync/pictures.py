"""The pictures of a sync's changes: into storage before anything of the sync is written."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from db.core.errors import DomainError
from db.profiles.rules import problems_of_thumbnail
from db.profiles.thumbnails import Thumbnails
from db.sync.changes import RefusedChanges, placed
from db.sync.rules import PackedChange


async def with_pictures(
    thumbnails: Thumbnails,
    user_id: UUID,
    packed: Sequence[PackedChange],
    refused: RefusedChanges,
    network: str,
) -> list[PackedChange]:
    """The changes with their pictures in storage; those whose picture is none are `refused`.

    An empty text takes the picture away, as null does.
    """
    given: dict[int, str] = {}
    for change in packed:
        text, n = change["groups"].get("THUMBNAIL"), change["n"]
        if not text:
            continue
        if problem := next(problems_of_thumbnail(text), None):
            refused[n] = [placed(problem, n)]
        else:
            given[n] = text
    kept: dict[int, str] = {}
    for n, one in zip(
        given, await thumbnails.keep(user_id, list(given.values()), network), strict=True
    ):
        if isinstance(one, DomainError):
            told = DomainError(one.code, one.message, ("input", "thumbnail"))
            refused[n] = [placed(told, n)]
        else:
            kept[n] = one
    return [_with_picture(one, kept) for one in packed if one["n"] not in refused]


def _with_picture(change: PackedChange, kept: dict[int, str]) -> PackedChange:
    groups = change["groups"]
    if "THUMBNAIL" not in groups:
        return change
    return {**change, "groups": {**groups, "THUMBNAIL": kept.get(change["n"])}}
