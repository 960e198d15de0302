"""The values in mails, as a reader sees them: names, times and durations in their language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from babel.dates import format_datetime, format_timedelta, get_timezone
from markupsafe import Markup, escape

from db.monitoring.rules import ALERTS, shown
from jobs.mailing.addresses import unlinked
from jobs.mailing.texts import Texts

# Around a value in a line of the other direction: first strong isolate, and its end (UAX 9).
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"

PROVIDERS = {"apple": "Apple", "discord": "Discord", "facebook": "Facebook", "google": "Google"}


class Values:
    """The values of one mail, and the sentences that they are put into."""

    def __init__(
        self,
        given: Mapping[str, object],
        texts: Texts,
        *,
        product: str,
        happened_at: datetime,
        time_zone: str | None = None,
    ) -> None:
        self._texts = texts
        self._alert = str(given.get("alert", ""))
        self._zone = _zone(time_zone)
        self._shown: dict[str, str] = {"product": product, "time": self._time(happened_at)}
        for name, value in given.items():
            self._shown[name] = self._readers().get(name, unlinked)(value)
        # Sentences of their own, which have the product's name in them.
        change = str(given.get("change", "other"))
        self._shown["change"] = self.in_text(texts.changes.get(change, texts.changes["other"]))

    def get(self, name: str) -> str:
        """A value; empty where none was given."""
        return self._shown.get(name, "")

    def in_text(self, sentence: str) -> str:
        """A sentence of plain text with its values; KeyError for one that is missing."""
        if self._texts.direction == "ltr":
            return sentence.format_map(self._shown)
        isolated = {
            name: f"{_ISOLATE}{value}{_END_OF_ISOLATE}" for name, value in self._shown.items()
        }
        return sentence.format_map(isolated)

    def in_html(self, sentence: str) -> Markup:
        """The same for HTML: every value is escaped, and has a direction of its own."""
        isolated = {
            name: Markup("<bdi>{}</bdi>").format(value) for name, value in self._shown.items()
        }
        return escape(sentence).format(**isolated)

    def _readers(self) -> Mapping[str, Callable[[object], str]]:
        return {
            "delete_at": self._time,
            "expires_at": self._time,
            "valid_minutes": self._minutes,
            "provider": lambda name: PROVIDERS.get(str(name), unlinked(name)),
            "alert": lambda alert: ALERTS[str(alert)].title if alert in ALERTS else unlinked(alert),
            "measured": self._measured,
            "threshold": self._measured,
            "role": lambda role: self._texts.roles.get(str(role).lower(), unlinked(role)),
        }

    def _time(self, value: object) -> str:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return format_datetime(
            time.astimezone(UTC), "long", tzinfo=self._zone, locale=self._texts.language
        )

    def _measured(self, value: object) -> str:
        return shown(self._alert, float(str(value)))

    def _minutes(self, value: object) -> str:
        lasts = timedelta(minutes=int(str(value)))
        # Above the threshold of a larger unit, ninety minutes would become two hours.
        unit: Literal["day", "hour", "minute"] = "hour" if lasts >= timedelta(hours=2) else "minute"
        unit = "day" if lasts >= timedelta(days=2) else unit
        return format_timedelta(
            lasts, granularity=unit, threshold=1000, locale=self._texts.language
        )


def _zone(name: str | None) -> tzinfo:
    """A time zone by its IANA name; UTC for one that is none."""
    try:
        return get_timezone(name or "UTC")
    except LookupError:
        return UTC
