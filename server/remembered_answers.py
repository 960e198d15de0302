"""Answers to requests without a session that are the same as long as nothing has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graph.engine.documents.cache import ByteBoundedCache
from graph.engine.documents.operation import NormalizedDocument
from graph.shared.context import BODY_KEY, Context

REMEMBERED_BYTES = 8 * 1024 * 1024
# The objects around each.
OBJECTS_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer, what asked for it at which cost, and whether it is still the same."""

    answer: bytes
    document: NormalizedDocument | None
    cost: int
    holds: Callable[[], bool]


class RememberedAnswers:
    """The answers that operations have from memory: who sends the same body gets the same bytes.

    Games ask over and over whether the same key holds; most of what that took was reading the same
    request anew. The operation itself says whether its answer holds (`Context.answer_holds`).
    """

    def __init__(self) -> None:
        self._by_body = ByteBoundedCache[bytes, Remembered](REMEMBERED_BYTES)

    def get(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Remembered | None:
        """The answer to a request, if it is remembered and holds."""
        if scope["method"] != "POST" or scope["query_string"] or b"authorization" in headers:
            return None
        body = scope.get(BODY_KEY)
        known = self._by_body.get(body) if body else None
        return known if known and known.holds() else None

    def keep(self, scope: Mapping[str, Any], context: Context, answer: bytes) -> None:
        """Remembers an answer that the operation has told of how long it holds."""
        body = scope.get(BODY_KEY)
        if context.answer_holds is None or context.actor.user_id is not None or not body:
            return
        known = Remembered(answer, context.normalized_document, context.cost, context.answer_holds)
        self._by_body.put(body, known, len(body) + len(answer) + OBJECTS_BYTES)

    def __len__(self) -> int:
        return len(self._by_body)
