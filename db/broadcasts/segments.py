"""Which users a broadcast is for, as it is asked for and as it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from db.accounts.user_rules import written_locale


@dataclass(frozen=True, slots=True)
class Segment:
    """The users who meet all that is said; nothing said is everybody."""

    audience: str = "EVERYBODY"
    plan_ids: list[str] | None = None
    locales: list[str] | None = None
    active_since: datetime | None = None
    inactive_since: datetime | None = None

    @property
    def columns(self) -> dict[str, object]:
        """As a broadcast keeps it; language tags in their usual letters."""
        locales = None if self.locales is None else [written_locale(tag) for tag in self.locales]
        return {
            "audience": self.audience,
            "plan_ids": self.plan_ids,
            "locales": locales,
            "active_since": self.active_since and self.active_since.isoformat(),
            "inactive_since": self.inactive_since and self.inactive_since.isoformat(),
        }
