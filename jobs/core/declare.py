"""How a slice declares its jobs, its scheduled work, and what it does when a worker connects."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from db.core.pool import Database
from db.files.storage import Storage
from jobs.providers.base import Providers
from settings import Settings, get_settings

Work = Callable[..., Awaitable[None]]


class RetryLater(Exception):
    """The job is to be run again after some seconds; that is no failure of it."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds = seconds


class UnreadableJob(Exception):
    """A job whose payload is not what its kind of job has."""


@dataclass(frozen=True)
class WorkerServices:
    """What one worker has. A declared function takes of it what its parameters name.

    `wake` tells this process that events were committed; `services` is all of it.
    """

    database: Database
    storage: Storage
    providers: Providers
    wake: Callable[[], None]
    settings: Settings = field(default_factory=get_settings, repr=False)
    _states: dict[Any, Any] = field(default_factory=dict, repr=False)

    def state[T](self, make: Callable[[], T]) -> T:
        """What this worker remembers for a slice: made once, by the function that names it."""
        if make not in self._states:
            self._states[make] = make()
        state: T = self._states[make]
        return state

    def of[T](self, make: Callable[[WorkerServices], T]) -> T:
        """The same for what is made of these services."""
        if make not in self._states:
            self._states[make] = make(self)
        made: T = self._states[make]
        return made

    async def run(self, work: Work, **arguments: Any) -> None:
        """Calls a declared function with what it takes, and the arguments that it names."""
        names = inspect.signature(work).parameters
        own = {name: getattr(self, name) for name in names if name in _GIVEN - {"services"}}
        known = {"services": self, **own, **arguments}
        await work(**{name: known[name] for name in names if name in known})


_GIVEN = {"services", *(one.name for one in fields(WorkerServices) if one.name != "_states")}


@dataclass(frozen=True)
class DeclaredJob:
    """A kind of job: what runs it, how often it may fail, and what happens when it has."""

    name: str
    run: Work
    attempts: float
    when_dead: Work | None
    payload: type[BaseModel]

    def arguments(self, payload: bytes | None) -> Mapping[str, Any]:
        """The payload's values, as the job's function takes them."""
        try:
            read = self.payload.model_validate_json(payload or b"")
        except ValidationError as error:
            raise UnreadableJob from error
        return {name: getattr(read, name) for name in self.payload.model_fields}


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """Work with its times, as a cron expression in UTC; one worker of all runs it each time.

    It may be run twice when its worker dies, so it must be safe to repeat.
    """

    name: str
    times: str
    run: Work


@dataclass(frozen=True)
class DeclaredWork:
    """All that the slices have declared."""

    jobs: dict[str, DeclaredJob] = field(default_factory=dict)
    schedule: dict[str, ScheduledWork] = field(default_factory=dict)
    listeners: dict[str, Work] = field(default_factory=dict)
    on_connect: list[Work] = field(default_factory=list)


_declared = DeclaredWork()


@cache
def declared_work() -> DeclaredWork:
    """What every slice declares: a module of `jobs` beside this package is one."""
    for file in sorted(Path(__file__).parents[1].glob("*.py")):
        if file.stem != "__init__":
            import_module(f"jobs.{file.stem}")
    return _declared


def make_job(
    name: str, run: Work, attempts: float = math.inf, when_dead: Work | None = None
) -> DeclaredJob:
    """A kind of job; its payload is read into the parameters that come after a `*`.

    One with a default may be left out of it.
    """
    signature = inspect.signature(run, eval_str=True).parameters.values()
    own = {
        one.name: (one.annotation, ... if one.default is one.empty else one.default)
        for one in signature
        if one.kind is one.KEYWORD_ONLY
    }
    _check(run, own)
    if when_dead is not None:
        _check(when_dead, {*own, "error"})
    model: type[BaseModel] = create_model(name, **own)  # type: ignore[call-overload]
    return DeclaredJob(name, run, attempts, when_dead, model)


def job[F: Work](name: str, *, attempts: int, when_dead: Work | None = None) -> Callable[[F], F]:
    """Declares what runs the jobs of a name; the payload's values come after a `*`.

    `RetryLater` tries it again. Any other error does, later and later, up to so many `attempts`;
    then `when_dead` is called, with the same values and the `error`. Without one the job becomes a
    dead letter, which an admin may retry.
    """

    def declare(run: F) -> F:
        _note(_declared.jobs, name, make_job(name, run, attempts, when_dead))
        return run

    return declare


def every[F: Work](times: str) -> Callable[[F], F]:
    """Declares scheduled work, named as its function; `times` is a cron expression in UTC."""

    def declare(run: F) -> F:
        name = run.__name__
        _check(run)
        _note(_declared.schedule, name, ScheduledWork(name, times, run))
        return run

    return declare


def listener[F: Work](channel: str) -> Callable[[F], F]:
    """Declares what a worker does when somebody notifies a channel; it may name the `payload`.

    Anybody who can connect may send a notification, so it is no more than a hint.
    """

    def declare(run: F) -> F:
        _check(run, {"payload"})
        _note(_declared.listeners, channel, run)
        return run

    return declare


def on_connect[F: Work](run: F) -> F:
    """Declares what a worker does each time it has connected to its queue, before it takes jobs."""
    _check(run)
    _declared.on_connect.append(run)
    return run


def _note(declared: dict[str, Any], name: str, one: Any) -> None:
    if name in declared:
        raise TypeError(f"{name} is declared twice")
    declared[name] = one


def _check(run: Work, more: Any = ()) -> None:
    """Refuses a parameter that nothing can be given for."""
    if unknown := inspect.signature(run).parameters.keys() - _GIVEN - set(more):
        raise TypeError(f"{run.__qualname__} takes what no worker has: {', '.join(unknown)}")
