"""What a model is asked for activities: a versioned text, filled with words of ours alone.

No name and no text of a user gets into it; what is closed and open is the players' together, so
that it says of nobody whose it is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from db.activities.written import ActivityRequest

_FILE = Path(__file__).parent / "prompts" / "texts" / "activities.toml"
_NONE = "none"


@cache
def _texts() -> dict[str, str]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def activity_prompt(asked: ActivityRequest) -> str:
    """The prompt for one request."""
    texts = _texts()
    return texts["text"].format(
        count=asked.count,
        truths=asked.count - asked.count // 2,
        dares=asked.count // 2,
        level=asked.level,
        meaning=texts[f"level_{asked.level}"],
        audience=texts[f"audience_{asked.audience}"],
        anatomies="; ".join(_listed(sorted(one)) for one in asked.anatomies) or _NONE,
        closed=_listed(sorted(asked.items.get(key, key) for key in asked.closed)),
        wanted=_listed(asked.items[key] for key in asked.open_items if key in asked.wanted),
        items="\n".join(f"{key}: {asked.items[key]}" for key in sorted(asked.open_items)),
        active="{active}",
        partner="{partner}",
    )


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or _NONE
