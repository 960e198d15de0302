"""The messages of `graphql-transport-ws`: checked on the way in, built on the way out."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import orjson

from graph.shared.json_input import InvalidJson, parse_json

SUBPROTOCOL = "graphql-transport-ws"
LEGACY_SUBPROTOCOL = "graphql-ws"
MESSAGE_LIMIT_BYTES = 65_536
ID_LIMIT_CHARACTERS = 256
# A close frame carries 125 bytes: the code, then the reason.
_REASON_LIMIT_BYTES = 123

# How a payload may call a token, and what else clients call one, letters and digits alone. Then how
# tokens, API keys and JWTs begin, under whatever name.
SPELLINGS = frozenset({"Authorization", "authorization"})
TOKEN_NAMES = frozenset(
    {"authorization", "auth", "token", "authtoken", "accesstoken", "idtoken", "jwt", "bearer"}
    | {"apikey", "xapikey"}
)
TOKEN_STARTS = ("bearer ", "tgk_", "eyj")

PING = '{"type":"ping"}'
PONG = '{"type":"pong"}'
CONNECTION_ACK = '{"type":"connection_ack"}'


class CloseCode(IntEnum):
    """Why the server closes a socket; clients resume from their last cursor where marked."""

    RESTART = 1012  # resume, elsewhere or here a little later
    TRY_AGAIN = 1013  # resume later: something the server needs is away
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403  # resume with a new token
    SUBPROTOCOL = 4406
    INITIALISATION_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY_INITIALISATIONS = 4429
    INTERNAL = 4500
    TOO_SLOW = 4503  # resume: this client did not read, or did not answer pings


class CloseSocket(Exception):
    """Ends a connection with a code and a reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:_REASON_LIMIT_BYTES].decode(errors="ignore")


def bad_request(reason: str) -> CloseSocket:
    """The client broke the protocol."""
    return CloseSocket(CloseCode.BAD_REQUEST, reason)


def read_message(event: dict[str, Any]) -> dict[str, Any]:
    """The message in an ASGI receive event: an object with a known `type`."""
    content = event.get("text")
    if content is None:
        raise bad_request("Messages are text frames")
    if len(content) > MESSAGE_LIMIT_BYTES or len(content.encode()) > MESSAGE_LIMIT_BYTES:
        raise bad_request(f"A message may have {MESSAGE_LIMIT_BYTES} bytes")
    try:
        message = parse_json(content)
    except InvalidJson as error:
        raise bad_request(f"The message is {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise bad_request("A message is an object with a `type`")
    return message


def optional_payload(message: dict[str, Any]) -> dict[str, Any]:
    """The payload of connection_init, ping or pong: an object, or absent."""
    payload = message.get("payload")
    if payload is None:
        return {}
    if not isinstance(payload, dict):
        raise bad_request("`payload` must be an object")
    return payload


def authorization_of(payload: dict[str, Any]) -> str | None:
    """The token in a payload: `Authorization` or `authorization`, and nowhere else.

    One that stands elsewhere is refused. Its client believes itself signed in, and would be served
    as nobody.
    """
    value = payload.get("Authorization", payload.get("authorization"))
    if value is not None and not isinstance(value, str):
        raise bad_request("`Authorization` must be text")
    for name, given in payload.items():
        parts = given.items() if isinstance(given, dict) else ((name, given),)
        if name not in SPELLINGS and any(_is_token(*part) for part in parts):
            raise bad_request("Send the token as `Authorization` in `payload`, nowhere else in it")
    return value


def _is_token(name: str, given: Any) -> bool:
    """Whether a text of a payload is meant to say who connects."""
    if not isinstance(given, str):
        return False
    plain = "".join(filter(str.isalnum, name)).lower()
    return plain in TOKEN_NAMES or given.lower().startswith(TOKEN_STARTS)


def operation_id(message: dict[str, Any]) -> str:
    """The id that a client gave its operation."""
    value = message.get("id")
    if not isinstance(value, str) or not 0 < len(value) <= ID_LIMIT_CHARACTERS:
        raise bad_request(f"`id` must be text of 1 to {ID_LIMIT_CHARACTERS} characters")
    return value


def operation_payload(message: dict[str, Any]) -> dict[str, Any]:
    """The GraphQL request in a subscribe message."""
    payload = message.get("payload")
    if not isinstance(payload, dict):
        raise bad_request("`payload` must be an object")
    is_named = "documentId" in payload or "extensions" in payload
    if not isinstance(payload.get("query"), str | None if is_named else str):
        raise bad_request("`payload.query` must be text")
    if not isinstance(payload.get("operationName"), str | None):
        raise bad_request("`payload.operationName` must be text or null")
    for name in ("variables", "extensions"):
        if not isinstance(payload.get(name), dict | None):
            raise bad_request(f"`payload.{name}` must be an object or null")
    return payload


def next_frame_start(identifier: str) -> bytes:
    """What stands before a result, which is never re-encoded; a `}` after it ends the frame."""
    return b'{"id":' + orjson.dumps(identifier) + b',"type":"next","payload":'


def error_frame(identifier: str, errors: list[dict[str, Any]]) -> bytes:
    """The operation ends with errors instead of a result."""
    return orjson.dumps({"id": identifier, "type": "error", "payload": errors})


def complete_frame(identifier: str) -> bytes:
    """The operation has given all its results."""
    return b'{"id":' + orjson.dumps(identifier) + b',"type":"complete"}'
