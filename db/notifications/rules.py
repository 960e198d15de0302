"""What a notification may say: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson

from db.core.errors import DomainError, bad_input

KEY_LIMIT_CHARACTERS = 255
DATA_LIMIT_BYTES = 4096


def problems_of_message(data: object, texts: Mapping[str, str]) -> Iterator[DomainError]:
    """What is wrong with a message's texts, each under its field's name, and with their values."""
    for field, value in texts.items():
        if not 1 <= len(value) <= KEY_LIMIT_CHARACTERS:
            yield bad_input(f"{field} must have 1 to 255 characters.", "input", field)
    if data is not None and not isinstance(data, dict):
        yield bad_input("data must be a JSON object.", "input", "data")
    elif len(orjson.dumps(data)) > DATA_LIMIT_BYTES:
        yield bad_input("data may have at most 4 KiB of JSON.", "input", "data")
