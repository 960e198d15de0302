"""Reads what developers send: bodies and queries, each field of the type that it must have."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import ClientDisconnect, Request

from graph.shared.json_input import InvalidJson, parse_json
from server.developer_api.answers import RestRefusal
from server.media_types import is_json

BODY_LIMIT_BYTES = 65_536
BODY_TIMEOUT_SECONDS = 10.0
LARGEST_NUMBER = 2**63 - 1
TEXT_CHARACTERS = 4_000
_AS_JSON = "Send the body as application/json in UTF-8."
# Before int(), which refuses very many digits by itself.
_DIGITS = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a body, or of a query, whose values are all text."""

    values: Mapping[str, Any]
    is_query: bool = False

    def has(self, name: str) -> bool:
        """Whether a field was sent with a value."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """A text that must be there."""
        value = self._needed(name)
        if not isinstance(value, str):
            raise invalid(name, "must be text")
        if len(value) > TEXT_CHARACTERS:
            raise invalid(name, f"must have at most {TEXT_CHARACTERS:,} characters")
        if "\0" in value:
            raise invalid(name, "has the character 0, which is in no text")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text, if it was sent."""
        return self.text(name) if self.has(name) else None

    def number(self, name: str) -> str:
        """A positive number that must be there, as its digits."""
        value = self._needed(name)
        if self.is_query or isinstance(value, str):
            is_number = _DIGITS.fullmatch(value) is not None
        else:
            is_number = isinstance(value, int) and not isinstance(value, bool)
        if not is_number or not 0 < int(value) <= LARGEST_NUMBER:
            raise invalid(name, "must be a positive number")
        return str(int(value))

    def optional_number(self, name: str) -> str | None:
        """A positive number, if it was sent."""
        return self.number(name) if self.has(name) else None

    def bounded(self, name: str, default: int, most: int) -> int:
        """A number from 1 to `most`; the default where it was not sent."""
        found = int(self.number(name)) if self.has(name) else default
        if found > most:
            raise invalid(name, f"must be between 1 and {most}")
        return found

    def moment(self, name: str) -> datetime:
        """A time that must be there, with its offset from UTC."""
        written = self.text(name)
        try:
            found = datetime.fromisoformat(written)
            found = found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            raise RestRefusal(
                "INVALID_EXPIRY", 400, f"{name} must be a time as in 2030-01-31T12:00:00Z.", name
            ) from None
        return found

    def texts(self, name: str, most: int) -> list[str]:
        """A list of texts that must be there."""
        value = self._needed(name)
        if (
            not isinstance(value, list)
            or not 1 <= len(value) <= most
            or not all(
                isinstance(one, str) and len(one) <= 200 and "\0" not in one for one in value
            )
        ):
            raise invalid(name, f"must be a list of 1 to {most:,} texts")
        return value

    def _needed(self, name: str) -> Any:
        if not self.has(name):
            raise RestRefusal("MISSING_FIELD", 400, f"{name} is missing.", name)
        return self.values[name]


def invalid(name: str, problem: str) -> RestRefusal:
    """The refusal of a field."""
    return RestRefusal("INVALID_REQUEST", 400, f"{name} {problem}.", name)


def id_of(request: Request) -> str:
    """The id in an address; what can be none is one that nothing has."""
    found: str = request.path_params["id"]
    return "" if "\0" in found else found


def query_of(request: Request) -> Fields:
    """The fields of an address; of one that is given twice, the last."""
    return Fields({name: value for name, value in request.query_params.items() if value}, True)


def _unsupported(message: str) -> RestRefusal:
    return RestRefusal("UNSUPPORTED_MEDIA_TYPE", 415, message, headers={"Connection": "close"})


async def body_of(request: Request, *, needed: bool = True) -> Fields:
    """The fields of a body, which is a JSON object; none, where it need not be there."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _unsupported("The body is compressed; send it as it is.")
    content_type = request.headers.get("content-type")
    if content_type is not None and not is_json(content_type.encode("latin-1")):
        raise _unsupported(_AS_JSON)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    message = f"A request has at most {BODY_LIMIT_BYTES} bytes."
                    raise RestRefusal(
                        "PAYLOAD_TOO_LARGE", 413, message, headers={"Connection": "close"}
                    )
    except (TimeoutError, ClientDisconnect):
        message = "The body did not arrive in time."
        raise RestRefusal(
            "INVALID_REQUEST", 400, message, headers={"Connection": "close"}
        ) from None
    if not body and not needed:
        return Fields({})
    if body and content_type is None:
        raise _unsupported(_AS_JSON)
    try:
        found = parse_json(bytes(body))
    except InvalidJson as error:
        raise RestRefusal("INVALID_REQUEST", 400, f"The body is {error}.") from None
    if not isinstance(found, dict):
        raise RestRefusal("INVALID_REQUEST", 400, "The body must be a JSON object.")
    return Fields(found)
