"""How the API of developers answers: one envelope, with codes and statuses of its own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.responses import Response

from db.core.errors import DomainError, RateLimited

REQUEST_ID_BYTES = 8
NO_STORE = {"Cache-Control": "no-store"}
# What a code of the operations is called here, and its status.
CODES = {
    "BAD_USER_INPUT": ("INVALID_REQUEST", 400),
    "UNAUTHENTICATED": ("UNAUTHORIZED", 401),
    "FORBIDDEN": ("FORBIDDEN", 403),
    "FRESH_SIGN_IN_REQUIRED": ("FRESH_SIGN_IN_REQUIRED", 403),
    "SECOND_FACTOR_REQUIRED": ("SECOND_FACTOR_REQUIRED", 403),
    "PLAN_LIMIT_REACHED": ("TIER_LIMIT_EXCEEDED", 403),
    "LIMIT_EXCEEDED": ("LIMIT_EXCEEDED", 403),
    "QUOTA_EXCEEDED": ("LIMIT_EXCEEDED", 403),
    "PLAN_REQUIRED": ("TIER_REQUIRED", 403),
    "NOT_FOUND": ("NOT_FOUND", 404),
    "INVALID_STATE": ("CONFLICT", 409),
    "IDEMPOTENCY_CONFLICT": ("CONFLICT", 409),
    "RATE_LIMITED": ("RATE_LIMITED", 429),
    "INSUFFICIENT_CREDITS": ("OBFUSCATION_LIMIT", 429),
    "DAILY_LIMIT_REACHED": ("OBFUSCATION_LIMIT", 429),
    "PROVIDER_REFUSED": ("PROVIDER_REFUSED", 409),
    "PROVIDER_NOT_CONFIGURED": ("PAYMENTS_UNAVAILABLE", 409),
    "PROVIDER_FAILED": ("PROVIDER_FAILED", 503),
    "SERVICE_UNAVAILABLE": ("SERVICE_UNAVAILABLE", 503),
    "READ_ONLY": ("SERVICE_UNAVAILABLE", 503),
}
INTERNAL = ("INTERNAL_ERROR", 500)
# What those say here: the operations speak of what this API does not have.
MESSAGES = {
    "OBFUSCATION_LIMIT": "The allowance of this period is used, and there are no credits: buy some "
    "with `POST /v1/credits`, or wait until `period_resets` of `GET /v1/usage`.",
    "PAYMENTS_UNAVAILABLE": "Nothing can be paid here yet; ask whoever runs this service.",
}
# Codes that this API alone has.
OWN_CODES = (
    "MISSING_FIELD",
    "INVALID_EXPIRY",
    "DUPLICATE_GROUP",
    "DUPLICATE_NAME",
    "METHOD_NOT_ALLOWED",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
)


@dataclass(frozen=True, slots=True)
class RestRefusal(Exception):
    """Why a request is refused: the API's code, its status, and the field at fault."""

    code: str
    status: int
    message: str
    at_field: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """What a request gets: `data` in an envelope; nothing at all with status 204."""

    data: Any = None
    status: int = 200


def new_request_id() -> str:
    """What names a request in its answer, the log and the developer's own history."""
    return f"req_{secrets.token_hex(REQUEST_ID_BYTES)}"


def refusal_of(error: DomainError) -> RestRefusal:
    """A refusal of an operation as this API tells it."""
    code, status = CODES.get(error.code.value, INTERNAL)
    headers = {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, error.retry_after_seconds))
    return refusal(code, status, error.message, error.path, headers)


def refusal_told(
    code: str, message: str, path: list[str] | None, name: str = "name"
) -> RestRefusal:
    """The same for an error that a payload told; `name` is what the field `name` is called here."""
    told, status = CODES.get(code, INTERNAL)
    if path and path[-1] == "name":
        path, message = [name], _AT_NAME.sub(name, message)
    return refusal(told, status, message, tuple(path or ()), {})


def refusal(
    code: str, status: int, message: str, path: tuple[str, ...], headers: Mapping[str, str]
) -> RestRefusal:
    """A refusal; the fields of a path are called here as they are sent here."""
    named = FIELDS.get(path[-1], path[-1]) if path else None
    if named == "expiry_date" and code == "INVALID_REQUEST":
        code = "INVALID_EXPIRY"
    return RestRefusal(code, status, MESSAGES.get(code) or _in_our_names(message), named, headers)


def _in_our_names(message: str) -> str:
    """A message of the operations with the fields as they are called here."""
    return _THEIR_NAMES.sub(lambda found: _NAMES[found[0]], message)


# What the operations call a field, and what it is called here.
FIELDS = {
    "name": "name",
    "robloxGroupId": "roblox_group_id",
    "robloxId": "roblox_user_id",
    "discordId": "discord_id",
    "expiresAt": "expiry_date",
    "productId": "product_id",
    "planId": "tier",
    "idempotencyKey": "idempotency_key",
    "machineId": "machine_id",
    "key": "license_key",
    "ids": "whitelist_ids",
}
# Those that are no words of their own, in messages, and what is called instead of a mutation.
_NAMES = {ours: here for ours, here in FIELDS.items() if not ours.islower()} | {
    "proofPhrase": "proof_phrase",
    "proveDeveloperProduct": "POST /v1/products/{id}/prove",
    "createDeveloperProduct": "POST /v1/products",
    "createDeveloperKey": "POST /v1/keys",
    "revokeDeveloperKey": "DELETE /v1/keys/{id}",
    "setWhitelistEntry": "POST /v1/whitelist",
    "recordObfuscation": "POST /v1/obfuscations",
    "createSubscription": "POST /v1/subscription",
    "cancelSubscription": "DELETE /v1/subscription",
    "createCheckout": "POST /v1/credits",
}
_AT_NAME = re.compile(r"\bname\b")
_THEIR_NAMES = re.compile(rf"\b({'|'.join(_NAMES)})\b")


def enveloped(answer: RestAnswer, request_id: str, headers: Mapping[str, str]) -> Response:
    """An answer as it is sent."""
    all_headers = {**NO_STORE, "X-Request-Id": request_id, **headers}
    if answer.status == 204:
        return Response(status_code=204, headers=all_headers)
    body = {"success": True, "data": answer.data, "request_id": request_id}
    return _json(body, answer.status, all_headers)


def refused(error: RestRefusal, request_id: str, headers: Mapping[str, str]) -> Response:
    """A refusal as it is sent."""
    told: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.at_field is not None:
        told["details"] = {"field": error.at_field}
    body = {"success": False, "error": told, "request_id": request_id}
    all_headers = {**NO_STORE, "X-Request-Id": request_id, **headers, **error.headers}
    return _json(body, error.status, all_headers)


def _json(body: Any, status: int, headers: Mapping[str, str]) -> Response:
    return Response(orjson.dumps(body), status, headers, "application/json")
