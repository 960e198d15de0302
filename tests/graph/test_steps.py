"""Long computations run in steps: others run in between, and networks take turns."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextlib import suppress
from time import perf_counter

import pytest

from auth.pacing import Pace
from db.core.actor import NOBODY
from db.core.yield_points import yield_point
from graph.engine.execution.engine import Engine
from graph.shared import steps as module
from graph.shared.context import Context
from graph.shared.errors import RequestError
from graph.shared.steps import Steps
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask

pytestmark = pytest.mark.usefixtures("real_rests")
POINTS = 20
PAGES = " ".join(f"a{n}: profiles(first: {1 + n % 7}) {{ nodes {{ id }} }}" for n in range(99))
MALFORMED = " ".join(
    f'm{n}: profiles(first: 5, after: "none {n}") {{ nodes {{ id }} }}' for n in range(99)
)


@pytest.fixture
def every_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each yield point ends its step."""
    monkeypatch.setattr(module, "STEP_SECONDS", 0.0)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The network of each step that is taken."""
    networks: list[str] = []
    step = module._Computation.step

    def noted(computation: module._Computation[object]) -> bool:
        networks.append(computation.asker.network)
        return step(computation)

    monkeypatch.setattr(module._Computation, "step", noted)
    return networks


class FaultError(Exception):
    """Raised by a computation."""


def long_work(done: list[str], name: str) -> str:
    """Work with some yield points, which says when it begins and ends."""
    done.append(f"{name} begins")
    for _ in range(POINTS):
        yield_point()
    done.append(f"{name} ends")
    return name


async def test_others_run_between_any_two_steps(every_point: None, taken: list[str]) -> None:
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(len(taken))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    assert await Steps().run("one", lambda: long_work([], "work")) == "work"
    looking.cancel()
    assert len(taken) == POINTS + 1
    assert set(seen) >= set(range(1, POINTS))


async def test_networks_take_turns_and_each_finishes_what_it_began(
    every_point: None, taken: list[str]
) -> None:
    steps, done = Steps(), list[str]()
    names = ["flood 1", "flood 2", "flood 3", "elsewhere"]
    await asyncio.gather(
        *(steps.run(name.split()[0], lambda name=name: long_work(done, name)) for name in names)  # type: ignore[misc]
    )
    assert done.index("flood 1 ends") < done.index("flood 2 begins")
    assert done.index("elsewhere ends") < done.index("flood 2 ends")
    shared = taken[: 2 * POINTS]
    assert Counter(shared) == {"flood": POINTS, "elsewhere": POINTS}


async def test_who_has_used_much_comes_after_the_others(
    every_point: None, taken: list[str]
) -> None:
    steps, done = Steps(), list[str]()
    steps._use("flood", perf_counter(), 100.0)
    flood = asyncio.create_task(steps.run("flood", lambda: long_work(done, "flood")))
    while not taken:  # noqa: ASYNC110 -- its first step is what is waited for
        await asyncio.sleep(0)
    await steps.run("elsewhere", lambda: long_work(done, "elsewhere"))
    assert done == ["flood begins", "elsewhere begins", "elsewhere ends"]
    assert "flood" not in taken[taken.index("elsewhere") : -1]
    assert await flood == "flood"


async def test_a_fault_is_raised_where_the_result_is_waited_for_and_leaves_no_garbage(
    every_point: None,
) -> None:
    steps = Steps()

    def fails() -> None:
        yield_point()
        raise FaultError("wrong")

    async def fail() -> str:
        try:
            await steps.run("one", fails)
        except FaultError as error:
            return str(error)
        return "nothing"

    assert await fail() == "wrong"
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await fail()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        # What earlier tests let go of is found as well: a fault that stays is in a cycle itself.
        left = [
            found for found in gc.garbage if isinstance(found, FaultError | module._Computation)
        ]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


async def test_what_nobody_waits_for_any_more_is_ended(every_point: None) -> None:
    steps, ended = Steps(), asyncio.Event()

    def interrupted() -> None:
        try:
            while True:
                yield_point()
        finally:
            ended.set()

    waiting = asyncio.create_task(steps.run("one", interrupted))
    for _ in range(10):
        await asyncio.sleep(0)
    waiting.cancel()
    assert await steps.run("one", lambda: long_work([], "next")) == "next"
    assert ended.is_set()


@pytest.mark.parametrize("pages", [PAGES, MALFORMED])
async def test_a_large_document_takes_many_steps_and_is_planned_once_for_all_who_send_it(
    ask: Ask,
    make_user: MakeUser,
    monkeypatch: pytest.MonkeyPatch,
    every_point: None,
    taken: list[str],
    pages: str,
) -> None:
    plans, plan_fields = 0, Engine._plan_fields

    def counted(engine: Engine, *arguments: object) -> object:
        nonlocal plans
        plans += 1
        return plan_fields(engine, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "_plan_fields", counted)
    actor = await make_user()
    text = f"{{ viewer {{ {pages} }} }}"
    answers = await asyncio.gather(*(ask(text, actor=actor) for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)
    # Each page is parsed, validated, parameterized, weighed, planned and compiled.
    assert len(taken) > 99 * 6
    assert plans == (1 if pages is PAGES else 2)


async def test_many_faults_are_told_at_a_pace_and_few_at_once(
    ask: Ask, make_user: MakeUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = 0

    async def noted(_: object, network: str) -> None:
        nonlocal paused
        paused += 1

    monkeypatch.setattr(Pace, "wait", noted)
    actor = await make_user()
    few = 'viewer { profiles(first: 5, after: "none") { nodes { id } } }'
    assert len((await ask(f"{{ {few} }}", actor=actor))["errors"]) == 1
    assert paused == 0
    await ask(f"{{ viewer {{ {MALFORMED} }} }}", actor=actor)
    assert paused == 1


@pytest.mark.parametrize(
    ("text", "variables", "least"),
    [
        ("{ __schema { types { name fields { name } } } }", {}, 500),
        (
            "query($ids: [ID!]!) { nodes(ids: $ids) { id } }",
            {"ids": ["x"] * 200 + [True] * 20},
            200,
        ),
    ],
    ids=["introspection", "faulty variables"],
)
async def test_what_takes_long_beside_planning_takes_steps_too(
    engine: Engine,
    services: Services,
    every_point: None,
    taken: list[str],
    text: str,
    variables: dict[str, object],
    least: int,
) -> None:
    context = Context(NOBODY, services, "test", address="10.0.0.5")
    with suppress(RequestError):
        await engine.run(text, variables, None, context)
    assert taken.count("10.0.0.5") > least
