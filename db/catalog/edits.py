"""What admins may write into the catalog."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from db.catalog.schemas import ParametersValidator, schema_fault
from db.catalog.tables import Tool
from db.core.errors import Problems, bad_input

MOST_CREDITS, MOST_CENTS = 1_000_000, 100_000_000
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LINK = re.compile(r"(/|https://)[!-~]+")
_CATALOGS = ("hairstyles", "hair_colors", "skin_colors")

Check = Callable[[Any], str | None]


def _text(longest: int, pattern: re.Pattern[str] | None = None, form: str = "") -> Check:
    """A text's length and form."""

    def check(value: str) -> str | None:
        if (
            value.strip()
            and len(value) <= longest
            and (pattern is None or pattern.fullmatch(value))
        ):
            return None
        return f"must be {form or 'text'} of 1 to {longest} characters"

    return check


def _number(least: int, most: int) -> Check:
    return lambda value: None if least <= value <= most else f"must be {least} to {most}"


def _parameters_schema(schema: Any) -> str | None:
    """A JSON Schema of an object with known parameters, whose defaults it accepts itself."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return 'must be a JSON Schema with "type": "object"'
    if len(json.dumps(schema)) > Tool.large["parameters_schema"]:
        return f"may have at most {Tool.large['parameters_schema']} bytes of JSON"
    if fault := schema_fault(schema):
        return fault
    for name, rule in schema.get("properties", {}).items():
        if not isinstance(rule, dict):
            return f"says nothing of {name}"
        if rule.get("x-catalog", _CATALOGS[0]) not in _CATALOGS:
            return f"may point to {', '.join(_CATALOGS)} with x-catalog"
        if "default" in rule and not ParametersValidator(rule).is_valid(rule["default"]):
            return f"does not accept its own default of {name}"
    return None


_KEY = _text(200, re.compile(r"[A-Za-z0-9][A-Za-z0-9_.#:-]*"), "an i18n key")
_URL = _text(2000, _LINK, "a path of this server or an https link")
_NAME = _text(100)
_CHECKS: Mapping[str, Check] = {
    "name": _NAME,
    "name_key": _KEY,
    "description_key": _KEY,
    "icon_name": _NAME,
    "cover_image_url": _URL,
    "image_url": _URL,
    "category": _text(40, _SLUG, "a slug such as short"),
    "credits_cost": _number(0, 1000),
    "monthly_credits": _number(0, MOST_CREDITS),
    "max_daily_credits": _number(0, MOST_CREDITS),
    "price_cents": _number(0, MOST_CENTS),
    "credits": _number(1, MOST_CREDITS),
    "amount_cents": _number(1, MOST_CENTS),
    "price_id": _text(255, re.compile(r"[!-~]+"), "a provider's id"),
    "currency": _text(3, re.compile("[A-Z]{3}"), "a code of ISO 4217"),
    "parameters_schema": _parameters_schema,
}


def _problems_of(changes: Mapping[str, Any]) -> Iterator[Any]:
    for name, value in changes.items():
        check = _CHECKS.get(name)
        if check is not None and value is not None and (said := check(value)):
            first, *others = name.split("_")
            field = first + "".join(part.title() for part in others)
            yield bad_input(f"{field} {said}.", "input", field)


def accepted_edits(problems: Problems, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes to a row as they are stored; tells all that is wrong, `problems` included."""
    problems.add(_problems_of(changes))
    problems.refuse()
    return {name: v.value if isinstance(v, Enum) else v for name, v in changes.items()}


def accepted_slug(given: str, *path: str) -> str:
    """The key of a tool, a hairstyle or a plan."""
    if len(given) > 64 or not _SLUG.fullmatch(given):
        raise bad_input("This must be a slug of at most 64 characters, such as eye-color.", *path)
    return given


def accepted_color(given: str, *path: str) -> str:
    """The key of a colour: #rrggbb in lower case."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", given):
        raise bad_input("This must be a hex colour such as #4e342e.", *path)
    return given.lower()
