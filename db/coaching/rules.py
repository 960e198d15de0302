"""What a coaching session may hold: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from db.coaching.tables import JSON_LIMIT_BYTES, MOST_UPLOADS, TEXT_LIMIT_CHARACTERS
from db.core.errors import DomainError, bad_input

CLIENT_ID_CHARACTERS = 64
_DOCUMENTS = (
    ("match_analysis", "matchAnalysis", dict, "object"),
    ("suggested_responses", "suggestedResponses", list, "list"),
)
_TEXTS = (("actual_response", "actualResponse"), ("score_explanation", "scoreExplanation"))


def problems_of_session(values: Mapping[str, Any]) -> Iterator[DomainError]:
    """What is wrong with values, each under its field's name; null is not judged here."""
    there = {name: value for name, value in values.items() if value is not None}
    client_id = there.get("client_id", "x")
    if not 0 < len(client_id) <= CLIENT_ID_CHARACTERS or not client_id.isprintable():
        yield bad_input(
            f"clientId has 1 to {CLIENT_ID_CHARACTERS} printable characters.", "input", "clientId"
        )
    if len(there.get("upload_ids", ())) > MOST_UPLOADS:
        yield bad_input(
            f"A session has at most {MOST_UPLOADS} pictures of its conversation.",
            "input",
            "uploadIds",
        )
    for column, field, kind, what in _DOCUMENTS:
        value = there.get(column)
        if value is not None and not isinstance(value, kind):
            yield bad_input(f"{field} must be a JSON {what}.", "input", field)
        elif value is not None and len(orjson.dumps(value)) > JSON_LIMIT_BYTES:
            yield bad_input(f"{field} may have at most 64 KiB of JSON.", "input", field)
    for column, field in _TEXTS:
        if len(there.get(column, "")) > TEXT_LIMIT_CHARACTERS:
            yield bad_input(
                f"{field} may have at most {TEXT_LIMIT_CHARACTERS:,} characters.", "input", field
            )
    if not 1 <= there.get("response_score", 1) <= 10:
        yield bad_input("responseScore is 1 to 10.", "input", "responseScore")
