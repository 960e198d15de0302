"""What may be said of stores and of who sells: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from db.accounts.emails import check_new_email
from db.core.errors import DomainError, bad_input
from db.core.texts import is_visible_line, problems_of_name, problems_of_prose, written_name
from db.stores.tables import (
    BUSINESS_LIMIT_CHARACTERS,
    DESCRIPTION_LIMIT_CHARACTERS,
    LINKS_LIMIT_BYTES,
    PAGE_LIMIT_BYTES,
)

LINKS_LIMIT = 20
LINK_LIMIT_CHARACTERS = 2_000
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_LINK = re.compile(r"https?://[^\s\x00-\x20\x7f\"'<>\\^`{|}]+", re.ASCII)


def written_store(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is given of a store as it is kept."""
    kept = dict(values)
    if isinstance(name := kept.get("name"), str):
        kept["name"] = written_name(name)
    for column in ("slug", "custom_domain"):
        if isinstance(text := kept.get(column), str):
            kept[column] = text.strip().lower()
    return kept


def problems_of_store(values: Mapping[str, Any]) -> Iterator[DomainError]:
    """What is wrong with values of a store, each under its column's name; null is judged before."""
    there = {name: value for name, value in values.items() if value is not None}
    if "slug" in there and not _SLUG.fullmatch(there["slug"]):
        yield bad_input(
            "slug must have 3 to 63 small letters, digits and hyphens, with no hyphen at its ends.",
            *("input", "slug"),
        )
    if "name" in there:
        yield from problems_of_name(there["name"], "input", "name")
    yield from problems_of_prose(
        there.get("description"), DESCRIPTION_LIMIT_CHARACTERS, "input", "description"
    )
    domain = there.get("custom_domain", "example.com")
    if len(domain) > 240 or not _DOMAIN.fullmatch(domain) or domain.split(".")[-1].isdigit():
        yield bad_input(
            "customDomain must be a domain such as shop.example.com.", "input", "customDomain"
        )
    if not 1 <= there.get("affiliate_commission_percent", 10) <= 90:
        yield bad_input(
            "affiliateCommissionPercent must be between 1 and 90.",
            *("input", "affiliateCommissionPercent"),
        )
    for column in ("theme", "layout"):
        yield from _problems_of_object(column, there.get(column, {}), PAGE_LIMIT_BYTES)
    yield from problems_of_links(there.get("links", {}))


def problems_of_links(links: Any) -> Iterator[DomainError]:
    """What is wrong with links, each under a name such as `discord`."""
    yield from _problems_of_object("links", links, LINKS_LIMIT_BYTES)
    if not isinstance(links, dict):
        return
    if len(links) > LINKS_LIMIT:
        yield bad_input(f"There may be at most {LINKS_LIMIT} links.", "input", "links")
    elif not all(_is_link(link) for link in links.values()):
        yield bad_input(
            "Each link must be an address such as https://example.com.", "input", "links"
        )


def problems_of_creator(values: Mapping[str, Any]) -> Iterator[DomainError]:
    """What is wrong with what somebody who sells says of themselves."""
    there = {name: value for name, value in values.items() if value is not None}
    name = there.get("business_name", "A name")
    if not 1 <= len(name) <= 100 or not is_visible_line(name):
        yield bad_input(
            "businessName must be one line of 1 to 100 characters.", "input", "businessName"
        )
    yield from problems_of_prose(
        there.get("business_description"), BUSINESS_LIMIT_CHARACTERS, "input", "businessDescription"
    )
    try:
        check_new_email(there.get("contact_email", "shop@example.com"))
    except DomainError as refusal:
        yield bad_input(refusal.message, "input", "contactEmail")
    if not _is_link(there.get("website_url", "https://example.com")):
        yield bad_input(
            "websiteUrl must be an address such as https://example.com.", "input", "websiteUrl"
        )
    yield from problems_of_links(there.get("links", {}))


def _is_link(link: Any) -> bool:
    is_short = isinstance(link, str) and len(link) <= LINK_LIMIT_CHARACTERS
    return is_short and _LINK.fullmatch(link) is not None


def _problems_of_object(column: str, value: Any, limit_bytes: int) -> Iterator[DomainError]:
    if not isinstance(value, dict):
        yield bad_input(f"{column} must be a JSON object.", "input", column)
    elif len(orjson.dumps(value)) > limit_bytes // 2:
        yield bad_input(
            f"{column} may have at most {limit_bytes // 2048} KiB of JSON.", "input", column
        )
