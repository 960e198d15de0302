"""Logs: one readable line an event in a terminal, JSON everywhere else."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

import orjson
import structlog

from server.log_errors import WithoutValues, exceptions_without_values
from settings import Settings


def _json(event: Any, *, default: Callable[[Any], Any], **_: Any) -> str:
    """The standard library takes three times as long, for each request."""
    return orjson.dumps(event, default=default, option=orjson.OPT_NON_STR_KEYS).decode()


def is_plain(stream: TextIO) -> bool:
    """Whether a stream wants text alone: no terminal, a simple one, or NO_COLOR is set."""
    simple = os.environ.get("TERM", "") in ("dumb", "unknown")
    return simple or bool(os.environ.get("NO_COLOR")) or not stream.isatty()


def configure_logs(settings: Settings) -> None:
    """Sends our events and the libraries' warnings to standard error."""
    level = getattr(logging, settings.log_level.upper())
    terminal = settings.log_format == "text" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    renderer: Any = (
        structlog.dev.ConsoleRenderer(
            pad_event_to=24,
            colors=not is_plain(sys.stderr),
            # Never the richer formatter: it prints local variables, secrets and photos among them.
            exception_formatter=structlog.dev.plain_traceback,
        )
        if terminal
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        exceptions_without_values,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(WithoutValues("%(levelname)s:%(name)s:%(message)s"))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[output], force=True)
    # The queue and the server log what we log better.
    logging.getLogger("pgqueuer").setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
