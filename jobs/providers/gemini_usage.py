"""What a generation took of Gemini: requests, tokens, and what they cost by the table of prices."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jobs.providers.base import ProviderError

_PRICES = Path(__file__).with_name("gemini_prices.toml")
_MOST_TOKENS = 100_000_000
_MOST_MICRO_USD = 2**31 - 1
_NUMBERED = re.compile(r"-\d{2,4}$")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, which is millionths of a dollar for each."""

    input: float
    text: float
    image: float


@cache
def prices() -> dict[str, Price]:
    """The price of each model that is known."""
    read = tomllib.loads(_PRICES.read_text())
    return {model: Price(**price) for model, price in read.items()}


def price_of(model: str) -> Price | None:
    """A model's price; that of `gemini-2.5-flash` is its numbered releases' as well."""
    return prices().get(model) or prices().get(_NUMBERED.sub("", model))


def _tokens(count: object) -> int:
    return min(max(count, 0), _MOST_TOKENS) if isinstance(count, int) else 0


@dataclass(slots=True)
class Bill:
    """What the requests of one attempt took together."""

    model: str
    prompt: str
    prompt_digest: str
    requests: int = 0
    input_tokens: int = 0
    text_tokens: int = 0
    image_tokens: int = 0

    def add(self, usage: Any) -> None:
        """Counts one answer's usage, as the API tells it."""
        self.requests += 1
        if usage is None:
            return
        written = _tokens(usage.candidates_token_count)
        details = usage.candidates_tokens_details or []
        pictures = sum(_tokens(one.token_count) for one in details if _is_picture(one))
        self.input_tokens += _tokens(usage.prompt_token_count)
        self.image_tokens += pictures
        self.text_tokens += max(written - pictures, 0) + _tokens(usage.thoughts_token_count)

    @property
    def cost_micro_usd(self) -> int:
        """Rounded up; 0 for a model whose price is unknown."""
        price = price_of(self.model)
        if price is None:
            return 0
        cost = (
            self.input_tokens * price.input
            + self.text_tokens * price.text
            + self.image_tokens * price.image
        )
        return min(math.ceil(round(cost, 6)), _MOST_MICRO_USD)

    def usage(self) -> dict[str, Any]:
        """For the log."""
        return {
            "provider": "gemini",
            "model": self.model,
            "prompt": self.prompt,
            "promptDigest": self.prompt_digest,
            "requests": self.requests,
            "inputTokens": self.input_tokens,
            "textTokens": self.text_tokens,
            "imageTokens": self.image_tokens,
            "isPriced": price_of(self.model) is not None,
        }

    def put_on(self, error: ProviderError) -> None:
        """What was taken although nothing came of it."""
        error.usage, error.cost_micro_usd = self.usage(), self.cost_micro_usd


def _is_picture(one: Any) -> bool:
    return bool(getattr(one.modality, "value", one.modality) == "IMAGE")
