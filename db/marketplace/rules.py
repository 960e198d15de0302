"""What may be said of a product of a store: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from db.billing.currencies import CURRENCIES, WHOLE, least_price_cents, store_step_cents
from db.billing.tables import PRODUCT_DESCRIPTION_CHARACTERS
from db.core.errors import DomainError, bad_input
from db.core.texts import is_visible_line, problems_of_name, problems_of_prose, written_name
from db.marketplace.tables import FILE_LIMIT_BYTES, NOTES_LIMIT_CHARACTERS

TAGS_LIMIT = 20
PRICE_LIMIT_CENTS = 10_000_000
# What has no smaller unit counts in larger numbers.
WHOLE_PRICE_LIMIT_CENTS = 100_000_000
_TAG = re.compile(r"[a-z0-9][a-z0-9+.# -]{0,29}")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,48}/[a-z0-9][a-z0-9!#$&^_.+-]{0,48}")
# Those that browsers run or show as a page of ours.
_SHOWN = re.compile(r"text/(?:html|xml)|application/(?:xhtml|xml)|image/svg")


def written_product(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is given of a product as it is kept."""
    kept = dict(values)
    if isinstance(name := kept.get("name"), str):
        kept["name"] = written_name(name)
    if isinstance(category := kept.get("category"), str):
        kept["category"] = category.strip().lower()
    if isinstance(tags := kept.get("tags"), list):
        kept["tags"] = list(dict.fromkeys(tag.strip().lower() for tag in tags))
    return kept


def problems_of_product(values: Mapping[str, Any]) -> Iterator[DomainError]:
    """What is wrong with values of a product, each under its column's name; null aside."""
    there = {name: value for name, value in values.items() if value is not None}
    if "name" in there:
        yield from problems_of_name(there["name"], "input", "name")
    yield from problems_of_prose(
        there.get("description"), PRODUCT_DESCRIPTION_CHARACTERS, "input", "description"
    )
    category = there.get("category", "scripts")
    if not 1 <= len(category) <= 50 or not is_visible_line(category):
        yield bad_input("category must be one line of 1 to 50 characters.", "input", "category")
    tags = there.get("tags", [])
    if len(tags) > TAGS_LIMIT or not all(map(_TAG.fullmatch, tags)):
        yield bad_input(
            f"There may be at most {TAGS_LIMIT} tags, each of 1 to 30 small letters, digits, "
            "blanks and any of + . # -",
            *("input", "tags"),
        )
    if not 1 <= there.get("max_activations", 1) <= 10_000:
        yield bad_input("maxActivations must be between 1 and 10,000.", "input", "maxActivations")
    if "price_cents" in there:
        yield from problems_of_price(there["price_cents"], there["currency"])


def problems_of_price(cents: int, currency: str) -> Iterator[DomainError]:
    """What is wrong with a price; what is free has none."""
    least, step = least_price_cents(currency), store_step_cents(currency)
    most = WHOLE_PRICE_LIMIT_CENTS if currency in WHOLE else PRICE_LIMIT_CENTS
    if not least <= cents <= most:
        yield bad_input(
            f"A price in this currency is {least:,} to {most:,} hundredths of it; leave it out of "
            "what is free.",
            *("input", "price", "amountCents"),
        )
    elif cents % step:
        yield bad_input(
            "This currency is paid in whole units: amountCents must be a multiple of "
            f"{step}, such as 50,000 for 500.",
            *("input", "price", "amountCents"),
        )
    if currency not in CURRENCIES:
        yield bad_input(
            "currency must be an ISO 4217 code such as USD.", "input", "price", "currency"
        )


def problems_of_file(file_name: str, content_type: str, size_bytes: int) -> Iterator[DomainError]:
    """What is wrong with a file that is announced."""
    if not 1 <= len(file_name) <= 200 or not is_visible_line(file_name) or "/" in file_name:
        yield bad_input(
            "fileName must be one line of 1 to 200 characters without a slash.",
            *("input", "fileName"),
        )
    if not _MEDIA_TYPE.fullmatch(content_type) or _SHOWN.match(content_type):
        yield bad_input(
            "contentType must be a media type such as application/zip, and none that browsers show "
            "as a page.",
            *("input", "contentType"),
        )
    if not 1 <= size_bytes <= FILE_LIMIT_BYTES:
        yield bad_input(
            f"sizeBytes must be between 1 and {FILE_LIMIT_BYTES:,}.", "input", "sizeBytes"
        )


def problems_of_version(label: str, notes: str | None) -> Iterator[DomainError]:
    """What is wrong with how a version is called."""
    if not 1 <= len(label) <= 50 or not is_visible_line(label):
        yield bad_input("label must be one line of 1 to 50 characters.", "input", "label")
    yield from problems_of_prose(notes, NOTES_LIMIT_CHARACTERS, "input", "notes")
