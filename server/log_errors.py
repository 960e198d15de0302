"""What a log tells of an exception: its kind and its place in the code, and no value of an input.

Libraries name the values they refuse: a driver the row, a parser the text, a dictionary the key.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any, override

import asyncpg

from db.core.errors import DomainError

# Words about types, names and connections, and our own for clients, which repeat no value.
_PLAIN_ERRORS = (
    TypeError,
    AttributeError,
    NameError,
    ConnectionError,
    TimeoutError,
    MemoryError,
    asyncpg.InterfaceError,
    DomainError,
)
# SQLSTATE classes whose message can name a value: data exceptions, constraints, checked views.
_CLASSES_WITH_VALUES = frozenset({"22", "23", "44"})
_NAMES = ("constraint_name", "schema_name", "table_name", "column_name")
CHAIN_LENGTH = 10
FRAMES = 40


def told(error: BaseException) -> str:
    """An exception in one line: its kind, and its words where they can hold no value."""
    kind = type(error).__name__
    words = _words(error)
    return f"{kind}: {words}" if words else kind


def _words(error: BaseException) -> str:
    if isinstance(error, asyncpg.PostgresError):
        return _words_of_database(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, _PLAIN_ERRORS) or _is_constant(error):
        return str(error)
    return ""


def _words_of_database(error: asyncpg.PostgresError) -> str:
    state = error.sqlstate or ""
    # Detail, hint and context show rows and values; they are never told.
    message = "" if state[:2] in _CLASSES_WITH_VALUES else str(next(iter(error.args), ""))
    names = [f"{name}={value}" for name in _NAMES if (value := getattr(error, name, None))]
    return " ".join([f"[{state}]", *names, *([message] if message else [])])


def _is_constant(error: BaseException) -> bool:
    """Whether the code that raised an exception holds its message whole: then no value is in it."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and str(error) in last.tb_frame.f_code.co_consts


def trace(error: BaseException) -> str:
    """An exception's calls and what led to it, as Python prints them but for values."""
    return "\n".join(_lines(error))


def _lines(error: BaseException, above: frozenset[int] = frozenset()) -> Iterator[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    here = above | {id(error)}
    if cause is not None and id(cause) not in here and len(here) < CHAIN_LENGTH:
        yield from _lines(cause, here)
        yield "Which led to:" if error.__cause__ else "While this was handled, there came:"
    yield "Traceback (most recent call last):"
    yield from (line.rstrip("\n") for line in traceback.format_tb(error.__traceback__, -FRAMES))
    yield told(error)
    if isinstance(error, BaseExceptionGroup) and len(here) < CHAIN_LENGTH:
        for one in error.exceptions:
            yield from _lines(one, here)


def exceptions_without_values(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor: exceptions in an event become text that holds no value."""
    given = event.pop("exc_info", None)
    for name, value in event.items():
        if isinstance(value, BaseException):
            event[name] = told(value)
    error = _error_of(given)
    if error is not None:
        event["exception"] = trace(error)
    return event


def _error_of(given: Any) -> BaseException | None:
    if given is True:
        return sys.exception()
    if isinstance(given, tuple):
        given = given[1]
    return given if isinstance(given, BaseException) else None


class WithoutValues(logging.Formatter):
    """Lines of the libraries' own loggers, whose exceptions and objects are told like ours."""

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        """asyncio writes objects below its first line; tasks among them show their exceptions."""
        if record.name == "asyncio":
            record.message = record.message.partition("\n")[0]
        return super().formatMessage(record)

    @override
    def formatException(self, ei: Any) -> str:
        """The calls, and no words that hold a value."""
        error = _error_of(ei)
        return trace(error) if error is not None else ""
