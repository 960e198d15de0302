"""Functions of the database that the engine's statements call, whatever their slice."""

from __future__ import annotations

from typing import Any

from db.core.commands import SqlFunction

ANSWER = SqlFunction[Any]("app.answer", "json", result="uuid", selection="text", parameters="jsonb")
MEASURED = SqlFunction[Any]("app.measured", "json", value="anyelement", limit_bytes="integer")
SEEN_OF_EVENTS = SqlFunction[str]("app.seen_of_events", "text")
