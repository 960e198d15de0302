"""The description of the API of developers, as an OpenAPI document of version 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from server.developer_api.answers import CODES, INTERNAL, OWN_CODES
from server.developer_api.reading import LARGEST_NUMBER

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
OPTIONAL_TEXT: Schema = {"type": ["string", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
OPTIONAL_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
COUNT: Schema = {"type": "integer"}
OPTIONAL_COUNT: Schema = {"type": ["integer", "null"]}
YES: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": LARGEST_NUMBER}
DISCORD: Schema = {"type": "string", "pattern": "^[0-9]{17,20}$"}
# One line in which something can be seen, as far as every dialect of patterns can say it.
_LINE = r"[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]"
_SEEN = (
    r"[!-~\u00c0-\u024f\u03b1-\u03c9\u0400-\u0481\u05d0-\u05ea\u0621-\u064a\u0905-\u0939"
    r"\u0e01-\u0e30\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3]"
)
NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 100,
    "pattern": f"^{_LINE}*{_SEEN}{_LINE}*$",
}


def obj(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with fields that are always there, and others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def items(of: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": of}


def named(name: str) -> Schema:
    """A schema of the document's own."""
    return {"$ref": f"#/components/schemas/{name}"}


_PRODUCT = obj(
    {
        "id": TEXT,
        "product_name": TEXT,
        "roblox_group_id": COUNT,
        "description": OPTIONAL_TEXT,
        "proof_phrase": TEXT,
        "proven_at": OPTIONAL_TIME,
        "created_at": TIME,
    }
)
_ENTRY = obj(
    {
        "id": TEXT,
        "roblox_user_id": COUNT,
        "discord_id": OPTIONAL_TEXT,
        "expiry_date": TIME,
        "created_at": TIME,
    },
    {"product_id": TEXT},
)
_KEY = obj(
    {
        "id": TEXT,
        "name": TEXT,
        "preview": TEXT,
        "created_at": TIME,
        "last_used_at": OPTIONAL_TIME,
    },
    {"api_key": {**TEXT, "description": "The secret, in the answer that makes it alone."}},
)
_OBFUSCATION = obj(
    {
        "used": COUNT,
        "limit": {**COUNT, "description": "-1 without limit."},
        "period": {"type": ["string", "null"], "enum": ["day", "week", None]},
        "period_resets": TIME,
        "credits_remaining": COUNT,
    }
)
_SUBSCRIPTION = obj(
    {
        "tier": OPTIONAL_TEXT,
        "price_cents": OPTIONAL_COUNT,
        "currency": OPTIONAL_TEXT,
        "obfuscation": named("ObfuscationUsage"),
        "whitelist_limit": COUNT,
        "rate_limit": COUNT,
        "credits": COUNT,
        "current_period_end": OPTIONAL_TIME,
        "status": OPTIONAL_TEXT,
    }
)
_PACK = obj(
    {"id": TEXT, "quantity": COUNT, "amount_cents": COUNT, "currency": TEXT, "provider": TEXT}
)
_REQUEST = obj(
    {
        "request_id": TEXT,
        "method": TEXT,
        "endpoint": TEXT,
        "status_code": COUNT,
        "created_at": TIME,
    }
)
_USED_PRODUCT = obj(
    {"id": TEXT, "product_name": TEXT, "roblox_group_id": COUNT, "whitelist_count": COUNT}
)
_USAGE = obj(
    {
        "tier": OPTIONAL_TEXT,
        "obfuscation": named("ObfuscationUsage"),
        "rate_limit": COUNT,
        "products": items(_USED_PRODUCT),
    },
    {"request_history": items(_REQUEST)},
)
_ERROR = obj(
    {
        "success": {"const": False},
        "error": obj(
            {
                "code": {
                    "type": "string",
                    "enum": sorted(
                        {*(code for code, _ in CODES.values()), INTERNAL[0], *OWN_CODES}
                    ),
                },
                "message": TEXT,
            },
            {"details": obj({"field": TEXT})},
        ),
        "request_id": {"type": "string", "pattern": "^req_[0-9a-f]{16}$"},
    }
)
_VERIFIED = {
    "oneOf": [
        obj({"whitelisted": YES}, {"expiry_date": TIME}),
        obj(
            {
                "valid": YES,
                "status": {"enum": ["valid", "expired", "banned", "max_activations", "unknown"]},
                "product_id": TEXT,
                "activations": OPTIONAL_COUNT,
                "max_activations": OPTIONAL_COUNT,
                "expires_at": OPTIONAL_TIME,
            }
        ),
    ]
}
_RATE_HEADERS = {
    name: {"schema": {"type": "integer"}, "description": text}
    for name, text in (
        ("X-RateLimit-Limit", "How many requests the key makes in a minute."),
        ("X-RateLimit-Remaining", "How many of them are left."),
        ("X-RateLimit-Reset", "When all are there again, in Unix seconds."),
    )
}
Security = list[dict[str, list[str]]]
BY_KEY: Security = [{"developerKey": []}]
BY_SESSION: Security = [{"session": []}]


def _error(description: str, *, headers: bool = True) -> Schema:
    told: Schema = {
        "description": description,
        "content": {"application/json": {"schema": named("Error")}},
    }
    if headers:
        told["headers"] = _RATE_HEADERS
    return told


_REFUSALS = {
    "400": _error("A field is missing or cannot be taken."),
    "401": _error("The key is missing or not valid.", headers=False),
    "403": _error("The tier, or a limit, does not allow it."),
    "404": _error("There is no such thing of the developer's."),
    "409": _error("It clashes with what there is."),
    "413": _error("The body is too large."),
    "415": _error("The body is no JSON, or is compressed."),
    "429": _error(
        "RATE_LIMITED: too many requests; or OBFUSCATION_LIMIT: neither allowance nor credits are "
        "left. `Retry-After` says in how many seconds there are some again."
    ),
    "500": _error("Something went wrong here."),
    "503": _error("Something that is needed is away; try again soon."),
}


def operation(
    summary: str,
    answer: Schema | None,
    *,
    status: int = 200,
    query: Sequence[tuple[str, Schema, bool]] = (),
    body: Schema | None = None,
    body_needed: bool = True,
    security: Security = BY_KEY,
    path_id: bool = False,
    takes_key: bool = False,
) -> Schema:
    """The description of one operation."""
    parameters: list[Schema] = [
        {"name": name, "in": "query", "required": needed, "schema": schema}
        for name, schema, needed in query
    ]
    if path_id:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": TEXT})
    if takes_key:
        key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "required": False, "schema": key}
        )
    done: Schema = {"description": "Done.", "headers": _RATE_HEADERS}
    if answer is not None:
        envelope = obj({"success": {"const": True}, "data": answer, "request_id": TEXT})
        done["content"] = {"application/json": {"schema": envelope}}
    told: Schema = {
        "summary": summary,
        "security": security,
        "parameters": parameters,
        "responses": {str(status): done, **_REFUSALS},
    }
    if body is not None:
        told["requestBody"] = {
            "required": body_needed,
            "content": {"application/json": {"schema": body}},
        }
    return told


_BY_ROBLOX = {"roblox_user_id": NUMBER, "roblox_group_id": NUMBER}
_BY_LICENCE = obj(
    {"license_key": TEXT, "product_id": TEXT},
    {"machine_id": {"type": "string", "minLength": 1, "maxLength": 200}},
)
_FULL_ENTRY = {
    "product_id": TEXT,
    "roblox_user_id": NUMBER,
    "discord_id": DISCORD,
    "expiry_date": TIME,
}
_OPERATIONS: dict[str, dict[str, Schema]] = {
    "/v1/verify": {
        "get": operation(
            "Whether somebody is on the whitelist of a group's product",
            _VERIFIED,
            query=(("roblox_user_id", NUMBER, True), ("roblox_group_id", NUMBER, True)),
        ),
        "post": operation(
            "The same, or whether the licence of a key holds",
            _VERIFIED,
            body={"anyOf": [obj(_BY_ROBLOX), _BY_LICENCE]},
        ),
    },
    "/v1/whitelist": {
        "get": operation(
            "A page of a product's whitelist, newest first",
            obj(
                {
                    "entries": items(named("WhitelistEntry")),
                    "total": COUNT,
                    "page": COUNT,
                    "limit": COUNT,
                    "tier_limit": COUNT,
                }
            ),
            query=(
                ("product_id", TEXT, True),
                ("page", {"type": "integer", "minimum": 1, "maximum": 10_000}, False),
                ("limit", {"type": "integer", "minimum": 1, "maximum": 100}, False),
                ("roblox_user_id", NUMBER, False),
                ("discord_id", TEXT, False),
            ),
        ),
        "post": operation(
            "Put somebody on a whitelist, or change until when",
            named("WhitelistEntry"),
            status=201,
            body=obj(
                {k: v for k, v in _FULL_ENTRY.items() if k != "discord_id"},
                {"discord_id": DISCORD},
            ),
        ),
    },
    "/v1/whitelist/bulk-remove": {
        "post": operation(
            "Take several entries off whitelists",
            obj({"removed": COUNT, "failed": items(TEXT)}),
            body=obj(
                {
                    "whitelist_ids": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 1_000,
                        "items": {"type": "string", "maxLength": 200},
                    }
                }
            ),
        )
    },
    "/v1/whitelist/{id}": {
        "delete": operation("Take an entry off a whitelist", None, status=204, path_id=True)
    },
    "/v1/products": {
        "get": operation(
            "The developer's products", obj({"products": items(named("Product")), "total": COUNT})
        ),
        "post": operation(
            "Make a product of a Roblox group",
            named("Product"),
            status=201,
            body=obj(
                {"product_name": NAME, "roblox_group_id": NUMBER},
                {"description": {"type": "string", "maxLength": 2_000}},
            ),
        ),
    },
    "/v1/products/{id}": {
        "get": operation("One product", named("Product"), path_id=True),
        "delete": operation("Delete a product with its whitelist", None, status=204, path_id=True),
    },
    "/v1/products/{id}/prove": {
        "post": operation(
            "Prove whose group it is: `proof_phrase` stands in its description",
            named("Product"),
            path_id=True,
        )
    },
    "/v1/keys": {
        "get": operation(
            "The keys of who is signed in",
            obj({"keys": items(named("Key"))}),
            security=BY_SESSION,
        ),
        "post": operation(
            "Make a key",
            named("Key"),
            status=201,
            body=obj({}, {"name": NAME}),
            body_needed=False,
            security=BY_SESSION,
            takes_key=True,
        ),
    },
    "/v1/keys/{id}": {
        "delete": operation("End a key", None, status=204, security=BY_SESSION, path_id=True)
    },
    "/v1/credits": {
        "get": operation(
            "How many credits there are, and the packs that are sold",
            obj({"credits": COUNT, "packs": items(_PACK)}),
        ),
        "post": operation(
            "A page on which a pack of credits is paid",
            obj({"checkout_url": TEXT, "quantity": COUNT, "total_cents": COUNT, "currency": TEXT}),
            body=obj({"quantity": NUMBER}),
            takes_key=True,
        ),
    },
    "/v1/subscription": {
        "get": operation("The tier, what it allows, and until when", named("Subscription")),
        "post": operation(
            "A page on which a tier is paid",
            obj({"checkout_url": OPTIONAL_TEXT}),
            body=obj({"tier": TEXT}),
            takes_key=True,
        ),
        "delete": operation("End the subscription at once", obj({"cancelled": YES})),
    },
    "/v1/usage": {
        "get": operation(
            "What is used of the tier; with `history=true`, what keys asked for",
            named("Usage"),
            query=(
                ("history", {"type": "string", "enum": ["true", "false"]}, False),
                ("limit", {"type": "integer", "minimum": 1, "maximum": 100}, False),
            ),
        )
    },
    "/v1/obfuscations": {
        "post": operation(
            "Count an obfuscation that has succeeded",
            obj(
                {
                    "id": TEXT,
                    "source": {"enum": ["allowance", "credit"]},
                    "created_at": TIME,
                    "usage": named("ObfuscationUsage"),
                }
            ),
            status=201,
            takes_key=True,
        )
    },
}


@cache
def openapi_document(server_url: str) -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallygraph for developers",
            "version": "1",
            "description": "Every answer is `{success, data, request_id}` or "
            "`{success, error: {code, message, details}, request_id}`. GraphQL at `/graphql` does "
            "the same and more.",
        },
        "servers": [{"url": server_url}],
        "paths": _OPERATIONS,
        "components": {
            "securitySchemes": {
                "developerKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "session": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {
                "Product": _PRODUCT,
                "WhitelistEntry": _ENTRY,
                "Key": _KEY,
                "ObfuscationUsage": _OBFUSCATION,
                "Subscription": _SUBSCRIPTION,
                "Usage": _USAGE,
                "Error": _ERROR,
            },
        },
    }
