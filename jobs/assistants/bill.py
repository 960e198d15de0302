"""What an attempt took of a language model: tokens, and what they cost by the table of prices."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_PRICES = Path(__file__).with_name("prices.toml")
_MOST_TOKENS = 100_000_000
_MOST_MICRO_USD = 2**31 - 1
_DATED = re.compile(r"-20\d{6}$")


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """US dollars for a million tokens, which is millionths of a dollar for each."""

    input: float
    cache_write: float
    cache_read: float
    output: float


@cache
def prices() -> dict[str, TokenPrice]:
    """The price of each model that is known."""
    read = tomllib.loads(_PRICES.read_text())
    return {model: TokenPrice(**price) for model, price in read.items()}


def price_of(model: str) -> TokenPrice | None:
    """A model's price, which its dated releases have as well."""
    return prices().get(model) or prices().get(_DATED.sub("", model))


def _count(tokens: object) -> int:
    return min(max(tokens, 0), _MOST_TOKENS) if isinstance(tokens, int) else 0


@dataclass(slots=True)
class ModelBill:
    """What the requests of one attempt took together; `ended` is why the last answer ended."""

    provider: str = ""
    model: str = ""
    prompt: str = ""
    prompt_digest: str = ""
    requests: int = 0
    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    ended: str = ""

    def begin(self, provider: str, model: str, prompt: str, prompt_digest: str) -> None:
        """Says who is asked, and with which prompt."""
        self.provider, self.model = provider, model
        self.prompt, self.prompt_digest = prompt, prompt_digest

    def add(
        self, *, read: object, written: object, cache_write: object = 0, cache_read: object = 0
    ) -> None:
        """Counts one request, as the provider tells it; a count that is none is 0."""
        self.requests += 1
        self.input_tokens += _count(read)
        self.output_tokens += _count(written)
        self.cache_write_tokens += _count(cache_write)
        self.cache_read_tokens += _count(cache_read)

    @property
    def tokens(self) -> int:
        """What a run is charged by: every token that was read or written."""
        return min(
            self.input_tokens
            + self.cache_write_tokens
            + self.cache_read_tokens
            + self.output_tokens,
            _MOST_TOKENS,
        )

    @property
    def cost_micro_usd(self) -> int:
        """Rounded up; 0 for a model whose price is unknown."""
        price = price_of(self.model)
        if price is None:
            return 0
        cost = (
            self.input_tokens * price.input
            + self.cache_write_tokens * price.cache_write
            + self.cache_read_tokens * price.cache_read
            + self.output_tokens * price.output
        )
        return min(math.ceil(round(cost, 6)), _MOST_MICRO_USD)

    def usage(self) -> dict[str, Any]:
        """For the log."""
        return {
            "provider": self.provider,
            "model": self.model,
            "prompt": self.prompt,
            "promptDigest": self.prompt_digest,
            "requests": self.requests,
            "inputTokens": self.input_tokens,
            "cacheWriteTokens": self.cache_write_tokens,
            "cacheReadTokens": self.cache_read_tokens,
            "outputTokens": self.output_tokens,
            "ended": self.ended,
            "isPriced": price_of(self.model) is not None,
        }
