"""Commands of admins on what is sold: products, and what they cost at each provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from db.catalog.edits import accepted_edits, accepted_slug
from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems

_SAVE = SqlFunction[str]("app.save_product", "text", wanted="text", changes="jsonb").noting_place()
_REMOVE = SqlFunction[str]("app.remove_product", "text", wanted="text").noting_place()
_SAVE_PRICE = SqlFunction[str](
    "app.save_product_price", "text", wanted="text", for_provider="text", changes="jsonb"
).noting_place()
_REMOVE_PRICE = SqlFunction[str](
    "app.remove_product_price", "text", wanted="text", for_provider="text"
).noting_place()


def save_product(key: str, problems: Problems, changes: Mapping[str, Any]) -> FunctionCall[str]:
    """Adds a product or changes it; gives its slug."""
    wanted = problems.of(accepted_slug, key, "input", "id")
    return _SAVE(wanted=wanted, changes=accepted_edits(problems, changes))


def remove_product(key: str) -> FunctionCall[str]:
    """Takes a product from sale; gives its slug."""
    return _REMOVE(wanted=key)


def save_price(
    key: str, provider: str, problems: Problems, changes: Mapping[str, Any]
) -> FunctionCall[str]:
    """Sets what a product costs at a provider; gives the product."""
    edits = accepted_edits(problems, changes)
    return _SAVE_PRICE(wanted=key, for_provider=provider, changes=edits)


def remove_price(key: str, provider: str) -> FunctionCall[str]:
    """Ends what a product costs at a provider; gives the product."""
    return _REMOVE_PRICE(wanted=key, for_provider=provider)
