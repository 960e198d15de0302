"""What users may say of themselves: names, language, time zone and preferences; no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import orjson

from db.accounts.tables import PREFERENCES_LIMIT_BYTES
from db.core.errors import DomainError, bad_input
from db.core.texts import problems_of_name, written_name

LOCALE_LIMIT_CHARACTERS = 35  # RFC 5646, section 4.4.1: what every implementation has room for

# ASCII alone, so that no two of them look alike.
_USERNAME = re.compile(r"[A-Za-z0-9](?:[._-]?[A-Za-z0-9]){2,29}")
# Names that others would take for the operator.
_RESERVED_USERNAMES = frozenset(
    {"admin", "administrator", "api", "help", "info", "mail", "me", "moderator", "null", "official"}
    | {"operator", "owner", "postmaster", "root", "security", "staff", "support", "system"}
    | {"tallygraph", "team", "undefined", "webmaster"}
)
# RFC 5646: a language, and after it a script, a region and variants; no extensions.
_LOCALE = re.compile(
    r"(?P<language>[A-Za-z]{2,3})(?:-(?P<script>[A-Za-z]{4}))?"
    r"(?:-(?P<region>[A-Za-z]{2}|[0-9]{3}))?(?P<variants>(?:-(?:[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*)"
)
_PREFERENCE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def cleaned(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of what a user gives, by column: composed, no blanks around it."""
    kept = dict(given)
    if isinstance(name := kept.get("display_name"), str):
        kept["display_name"] = written_name(name)
    if isinstance(username := kept.get("username"), str):
        kept["username"] = username.strip()
    if isinstance(locale := kept.get("locale"), str):
        kept["locale"] = written_locale(locale)
    return kept


def written_locale(locale: str) -> str:
    """A language tag in the letters that RFC 5646 (2.1.1) recommends, such as `pt-BR`."""
    found = _LOCALE.fullmatch(locale.strip().replace("_", "-"))
    if found is None:
        return locale
    script, region = found["script"], found["region"]
    parts = (found["language"].lower(), script and script.title(), region and region.upper())
    return "-".join(part for part in parts if part) + found["variants"].lower()


def problems_of_user(values: Mapping[str, Any]) -> Iterator[DomainError]:
    """What is wrong with cleaned values, each under its column's name; null is not judged here."""
    there = {name: value for name, value in values.items() if value is not None}
    if "username" in there:
        yield from problems_of_username(there["username"])
    if "display_name" in there:
        yield from problems_of_name(there["display_name"], "input", "displayName")
    if "locale" in there:
        yield from problems_of_locale(there["locale"])
    if "time_zone" in there and there["time_zone"] not in _time_zones():
        yield bad_input(
            "timeZone must be a name of the IANA database, such as Europe/Berlin.",
            "input",
            "timeZone",
        )
    if "notification_preferences" in there:
        yield from _problems_of_preferences(there["notification_preferences"])


def problems_of_username(username: str) -> Iterator[DomainError]:
    """What is wrong with a username."""
    if len(username) > 30 or not _USERNAME.fullmatch(username):
        yield bad_input(
            "username must have 3 to 30 letters and digits of ASCII, with single . _ or - between "
            "them.",
            "input",
            "username",
        )
    elif username.lower() in _RESERVED_USERNAMES:
        yield bad_input("This username is reserved; choose another one.", "input", "username")


def problems_of_locale(locale: str) -> Iterator[DomainError]:
    """What is wrong with a language tag."""
    if len(locale) > LOCALE_LIMIT_CHARACTERS or not _LOCALE.fullmatch(locale):
        yield bad_input("locale must be a language tag, such as en or pt-BR.", "input", "locale")


def _problems_of_preferences(preferences: object) -> Iterator[DomainError]:
    """A switch for each kind of notification, as the product names them."""
    are_switches = isinstance(preferences, dict) and all(
        _PREFERENCE.fullmatch(name) and isinstance(is_on, bool)
        for name, is_on in preferences.items()
    )
    if not are_switches:
        yield bad_input(
            "notificationPreferences must be a JSON object of true and false, its keys of letters "
            "and digits.",
            "input",
            "notificationPreferences",
        )
    elif len(orjson.dumps(preferences)) > PREFERENCES_LIMIT_BYTES:
        yield bad_input(
            "notificationPreferences may have at most 4 KiB of JSON.",
            "input",
            "notificationPreferences",
        )


@cache
def _time_zones() -> frozenset[str]:
    """The names of the IANA database, as the package `tzdata` lists them.

    A machine may have files beside them, such as `localtime`, which mean another zone elsewhere.
    """
    names = (resources.files("tzdata") / "zones").read_text("utf-8").split()
    # What the database has for machines whose zone nobody has set.
    return frozenset(names) - {"Factory"}
