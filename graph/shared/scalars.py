"""The scalars of the schema, each with exactly one way to be written and read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NewType
from uuid import UUID

import orjson
import strawberry
from graphql import GraphQLError, Undefined, ValueNode, value_from_ast_untyped
from strawberry.types.scalar import ScalarDefinition

from graph.shared.relay import Cursor

JSON = NewType("JSON", object)
# Shared by the SQL that formats timestamps and by Python: always UTC, always microseconds.
POSTGRES_DATE_TIME = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


def format_date_time(timestamp: datetime) -> str:
    """A timestamp as the schema writes it: UTC, ISO 8601, microseconds, `Z`."""
    return timestamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_date_time(value: object) -> datetime:
    """A timestamp from ISO 8601 text with an offset, in the years 1 to 9999 of UTC."""
    if not isinstance(value, str):
        raise TypeError("A DateTime is ISO 8601 text such as 2026-01-31T12:00:00Z.")
    try:
        timestamp = datetime.fromisoformat(f"{value[:-1]}Z" if value[-1:] == "z" else value)
    except ValueError:
        raise ValueError(
            "A DateTime is ISO 8601 text such as 2026-01-31T12:00:00Z; leap seconds (:60) and days "
            "that no calendar has are not taken."
        ) from None
    if timestamp.tzinfo is None:
        raise ValueError("A DateTime needs its offset from UTC, such as a Z at its end.")
    try:
        return timestamp.astimezone(UTC)
    except OverflowError:
        raise ValueError(
            "In UTC this DateTime lies outside of the years 1 to 9999: "
            "0001-01-01T00:00:00Z is the first, 9999-12-31T23:59:59.999999Z the last."
        ) from None


def parse_uuid(value: object) -> UUID:
    """A UUID from its text."""
    try:
        return UUID(str(value))
    except ValueError:
        raise ValueError("A UUID is 32 hexadecimal digits in groups of 8-4-4-4-12.") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("A Cursor is text that this server gave.")
    return value


def _same(value: Any) -> Any:
    return value


def _without_undefined(value: Any) -> Any:
    """What variables leave open in a literal: a field is left out, an item is null."""
    if isinstance(value, dict):
        return {k: _without_undefined(v) for k, v in value.items() if v is not Undefined}
    if isinstance(value, list):
        return [None if item is Undefined else _without_undefined(item) for item in value]
    return value


def _json_literal(node: ValueNode, variables: Any = None) -> Any:
    """A JSON value written in a document; numbers that JSON's readers would change are refused."""
    value = _without_undefined(value_from_ast_untyped(node, variables))
    try:
        json.dumps(value, allow_nan=False)
        orjson.dumps(value)
    except (TypeError, ValueError):
        raise GraphQLError(
            "Numbers in JSON have at most 64 bits; send longer ones as text.", node
        ) from None
    return value


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A UTC timestamp in ISO 8601 with microseconds: 2026-01-31T12:00:00.000000Z.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        serialize=format_date_time,
        parse_value=parse_date_time,
    ),
    UUID: strawberry.scalar(
        name="UUID",
        description="A universally unique identifier (RFC 9562) in lower case with hyphens.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc9562",
        serialize=str,
        parse_value=parse_uuid,
    ),
    Cursor: strawberry.scalar(
        name="Cursor",
        description="A position in a list or a stream. Opaque: pass it back as you got it.",
        serialize=str,
        parse_value=_text,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value; used only where the shape is free, as in analyses.",
        serialize=_same,
        parse_value=_same,
        parse_literal=_json_literal,
    ),
}
