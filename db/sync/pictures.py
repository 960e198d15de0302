"""The pictures of a sync's changes: into storage before anything of the sync is written."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from db.core.errors import DomainError
from db.profiles.rules import problems_of_thumbnail
from db.profiles.thumbnails import Thumbnails
from db.sync.rules import PackedChange


async def split_by_pictures(
    thumbnails: Thumbnails, user_id: UUID, packed: Sequence[PackedChange], network: str
) -> tuple[list[PackedChange], dict[int, DomainError]]:
    """The changes with their pictures in storage; and those whose picture is none, by their place.

    Nothing of a refused change is among the first.
    """
    refused: dict[int, DomainError] = {}
    given: dict[int, str] = {}
    for change in packed:
        text = change["groups"].get("THUMBNAIL")
        if not text:
            continue
        if problem := next(problems_of_thumbnail(text), None):
            refused[change["n"]] = problem
        else:
            given[change["n"]] = text
    kept: dict[int, str] = {}
    for n, one in zip(
        given, await thumbnails.keep(user_id, list(given.values()), network), strict=True
    ):
        if isinstance(one, DomainError):
            refused[n] = one
        else:
            kept[n] = one
    taken = [_with_picture(one, kept) for one in packed if one["n"] not in refused]
    return taken, dict(sorted(refused.items()))


def _with_picture(change: PackedChange, kept: dict[int, str]) -> PackedChange:
    groups = change["groups"]
    if "THUMBNAIL" not in groups:
        return change
    return {**change, "groups": {**groups, "THUMBNAIL": kept.get(change["n"])}}
