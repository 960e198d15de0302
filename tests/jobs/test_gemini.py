"""Gemini makes generations: whatever its API answers, credits, outcome and log row are the right ones."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import asyncpg
import pytest
from PIL import Image
from pydantic import ValidationError
from structlog.testing import capture_logs

from db.core.pool import Database
from db.files.storage import Storage
from jobs.core.declare import RetryLater, WorkerServices
from jobs.generations import GenerationRun
from jobs.providers import Providers, choose_providers
from jobs.providers.gemini import GeminiProvider
from server.log_errors import exceptions_without_values
from settings import Settings, SettingsError

from ..conftest import MakeUser
from ..fakes.gemini import ANALYSIS, ANALYSIS_MODEL, IMAGE_MODEL, KEY, FakeGemini
from .helpers import (
    COLOR,
    MakeSettings,
    Start,
    cancel,
    create_generation,
    ended,
    eventually,
    generation,
    ready_upload,
    run_generation,
    stored_results,
    wallet,
)

HAIR_COST = 320 * 0.30 + 1290 * 30
ANALYSIS_COST = 500 * 0.30 + (200 + 300) * 2.50


@pytest.fixture
def services(database: Database, storage: Storage) -> Callable[[Settings], WorkerServices]:
    return lambda settings: WorkerServices(
        database, storage, choose_providers(settings), lambda: None, settings
    )


@dataclass(frozen=True)
class Case:
    """How the API answers, one request after the other, and what becomes of the generation."""

    script: tuple[str, ...]
    code: str | None = None
    outcomes: tuple[str, ...] = ()
    cost: float = 0
    tool: str = "hair-color"
    attempts: int = 1
    seconds: float = 20.0


REFUSED_COST = 320 * 0.30
CASES = {
    "a picture": Case(("picture",), cost=HAIR_COST),
    "a picture among words and thoughts": Case(("picture and words",), cost=HAIR_COST),
    "an analysis": Case(("analysis",), cost=ANALYSIS_COST, tool="analysis"),
    "an analysis that is repaired": Case(
        ("score of 140", "analysis"), cost=2 * ANALYSIS_COST, tool="analysis"
    ),
    "half an analysis that is repaired": Case(
        ("half an analysis", "analysis"), cost=2 * ANALYSIS_COST, tool="analysis"
    ),
    "an analysis beyond repair": Case(
        ("score of 140", "score of 140"),
        "PROVIDER_FAILED",
        ("FAILED",),
        2 * ANALYSIS_COST,
        tool="analysis",
        attempts=3,
    ),
    "an analysis refused when repaired": Case(
        ("score of 140", "ended by SAFETY"),
        "PROVIDER_REFUSED",
        ("REFUSED",),
        ANALYSIS_COST + REFUSED_COST,
        tool="analysis",
    ),
    "a blocked prompt": Case(("prompt blocked",), "PROVIDER_REFUSED", ("REFUSED",), REFUSED_COST),
    **{
        f"ended by {reason}": Case(
            (f"ended by {reason}",), "PROVIDER_REFUSED", ("REFUSED",), REFUSED_COST
        )
        for reason in ("SAFETY", "IMAGE_SAFETY", "PROHIBITED_CONTENT", "RECITATION", "NO_IMAGE")
    },
    "words instead of a picture": Case(
        ("only words",), "PROVIDER_REFUSED", ("REFUSED",), REFUSED_COST
    ),
    "a photo it cannot read": Case(("bad photo",), "PROVIDER_REFUSED", ("REFUSED",), attempts=3),
    "ended otherwise": Case(("ended by OTHER",), "PROVIDER_FAILED", ("FAILED",), REFUSED_COST),
    "too many requests, then one": Case(
        ("too many", "picture"), None, ("FAILED",), HAIR_COST, attempts=2
    ),
    "overloaded for good": Case(
        ("overloaded", "broken", "broken gateway"), "PROVIDER_FAILED", ("FAILED",) * 3, attempts=3
    ),
    "too many for an hour": Case(
        ("too many for an hour",), "PROVIDER_FAILED", ("FAILED",), attempts=3
    ),
    "an error of another form": Case(("odd error",), "PROVIDER_FAILED", ("FAILED",)),
    "a key that is wrong": Case(("wrong key",), "PROVIDER_FAILED", ("FAILED",), attempts=3),
    "a key without rights": Case(("forbidden",), "PROVIDER_FAILED", ("FAILED",), attempts=3),
    "a model that is unknown": Case(("no such model",), "PROVIDER_FAILED", ("FAILED",), attempts=3),
    "no JSON": Case(("no JSON",), "PROVIDER_FAILED", ("FAILED",)),
    "JSON of another form": Case(("another JSON",), "PROVIDER_FAILED", ("FAILED",)),
    "values of other types": Case(("odd types",), "PROVIDER_FAILED", ("FAILED",)),
    "no candidate": Case(("no candidates",), "PROVIDER_FAILED", ("FAILED",)),
    "no base64": Case(("no base64",), "PROVIDER_FAILED", ("FAILED",)),
    "a file that is no picture": Case(("no picture",), "PROVIDER_FAILED", ("FAILED",)),
    "half a picture": Case(("half a picture",), "PROVIDER_FAILED", ("FAILED",)),
    "a picture of 90 megapixels": Case(("picture bomb",), "PROVIDER_FAILED", ("FAILED",)),
    "an answer cut off": Case(("cut off",), "PROVIDER_FAILED", ("FAILED",)),
    "hung up, then a picture": Case(
        ("hung up", "picture"), None, ("FAILED",), HAIR_COST, attempts=2
    ),
    "an endless answer": Case(("huge",), "PROVIDER_FAILED", ("FAILED",)),
    "an answer said to be endless": Case(("huge by length",), "PROVIDER_FAILED", ("FAILED",)),
    "a packed answer": Case(("packed",), "PROVIDER_FAILED", ("FAILED",)),
    "no answer": Case(("never",), "PROVIDER_FAILED", ("TIMED_OUT",), seconds=0.4),
    "an answer byte by byte": Case(("trickle",), "PROVIDER_FAILED", ("TIMED_OUT",), seconds=0.4),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_the_api_answers_decides_outcome_credits_and_log(
    name: str,
    gemini: FakeGemini,
    with_gemini: MakeSettings,
    services: Callable[[Settings], WorkerServices],
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    case = CASES[name]
    actor = await make_user(credits=3)
    upload_id = await ready_upload(database, storage, actor)
    parameters = {} if case.tool == "analysis" else COLOR
    generation_id = await create_generation(database, actor, upload_id, case.tool, parameters)
    gemini.script = list(case.script)
    settings = with_gemini(
        gemini_attempts=case.attempts,
        gemini_timeout_seconds=case.seconds,
        upload_limit_bytes=2_000_000,
    )
    with capture_logs() as events:
        await run_generation(services(settings), generation_id)

    row = await generation(owner, generation_id)
    assert (row["status"], row["error_code"]) == ("FAILED" if case.code else "SUCCEEDED", case.code)
    assert await wallet(owner, actor) == ((3, 0) if case.code else (2, 0))
    assert not gemini.script
    logs = await owner.fetch(
        "select * from ai_generation_logs where generation_id = $1 order by attempt", generation_id
    )
    outcomes = [log["outcome"] for log in logs]
    assert outcomes == [*case.outcomes, *([] if case.code else ["SUCCEEDED"])]
    assert {log["provider"] for log in logs} == {"gemini"}
    assert logs[-1]["cost_micro_usd"] == pytest.approx(case.cost, abs=1)
    assert len(await stored_results(storage, actor)) == (row["result_path"] is not None)
    written = [exceptions_without_values(None, "", event) for event in events]
    assert KEY not in f"{[dict(log) for log in logs]} {dict(row)} {written}"


async def test_a_picture_is_taken_in_like_an_upload_and_says_what_it_took(
    gemini: FakeGemini,
    with_gemini: MakeSettings,
    services: Callable[[Settings], WorkerServices],
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    await run_generation(services(with_gemini()), generation_id)
    (asked,) = gemini.asked
    assert asked.model == IMAGE_MODEL
    assert asked.headers["x-goog-api-key"] == KEY
    assert asked.body["generationConfig"]["responseModalities"] == ["IMAGE"]
    assert [one.size for one in asked.pictures] == [(300, 400)]
    assert "#8b3a62" in asked.text
    row = await generation(owner, generation_id)
    assert not row["made_offline"]
    assert json.loads(row["result"]) == {
        "provider": "gemini",
        "model": IMAGE_MODEL,
        "prompt": "hair-color/1",
    }
    assert row["result_content_type"] == "image/jpeg"
    assert Image.open(BytesIO(await storage.get(row["result_path"]))).size == (96, 128)
    usage = await owner.fetchval(
        "select usage from ai_generation_logs where generation_id = $1", generation_id
    )
    assert (
        json.loads(usage).items()
        >= {
            "model": IMAGE_MODEL,
            "prompt": "hair-color/1",
            "requests": 1,
            "inputTokens": 320,
            "imageTokens": 1290,
            "textTokens": 0,
            "isPriced": True,
        }.items()
    )


async def test_an_analysis_is_repaired_with_the_names_of_its_faults(
    gemini: FakeGemini,
    with_gemini: MakeSettings,
    services: Callable[[Settings], WorkerServices],
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    generation_id = await create_generation(database, actor, upload_id, "analysis", {})
    gemini.script = ["score of 140", "analysis"]
    await run_generation(services(with_gemini()), generation_id)
    first, second = gemini.asked
    assert first.model == second.model == ANALYSIS_MODEL
    config = second.body["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert set(config["responseJsonSchema"]["required"]) == set(ANALYSIS)
    assert [content["role"] for content in second.body["contents"]] == ["user", "model", "user"]
    repair = second.body["contents"][2]["parts"][0]["text"]
    assert "symmetryScore breaks maximum: 100" in repair
    assert "properties that the schema does not have" in repair
    assert "<b>" not in repair
    row = await generation(owner, generation_id)
    assert json.loads(row["result"]).items() >= ANALYSIS.items()
    assert row["result_path"] is None


@pytest.mark.parametrize(
    ("behaviour", "least", "most"),
    [("too many", 5.5, 6.6), ("too many by header", 7, 8.4), ("too many by date", 40, 72)],
)
async def test_an_attempt_waits_as_long_as_it_was_asked_to(
    gemini: FakeGemini,
    with_gemini: MakeSettings,
    services: Callable[[Settings], WorkerServices],
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    behaviour: str,
    least: float,
    most: float,
) -> None:
    actor = await make_user()
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    gemini.script = [behaviour]
    with pytest.raises(RetryLater) as later:
        await GenerationRun(services(with_gemini()), generation_id).run()
    assert least <= later.value.seconds <= most


async def test_a_worker_tries_again_and_leaves_a_cancelled_one_alone(
    gemini: FakeGemini,
    with_gemini: MakeSettings,
    start: Start,
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    start(GeminiProvider(with_gemini()))
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    gemini.script = ["overloaded", "picture", "never"]
    generation_id = await create_generation(database, actor, upload_id)
    row = await ended(owner, generation_id, 20)
    assert (row["status"], row["attempts"]) == ("SUCCEEDED", 2)

    gemini.came.clear()
    another = await create_generation(database, actor, upload_id, parameters={"color": "#00ff00"})
    await asyncio.to_thread(gemini.came.wait, 20)
    await cancel(database, actor, another)
    assert await asyncio.to_thread(gemini.hung_up.wait, 10)
    assert (await generation(owner, another))["status"] == "CANCELLED"
    assert await wallet(owner, actor) == (9, 0)

    async def is_logged() -> bool:
        outcome = await owner.fetchval(
            "select outcome from ai_generation_logs where generation_id = $1", another
        )
        return bool(outcome == "CANCELLED")

    await eventually(is_logged, 30)


async def test_no_transaction_is_open_while_the_api_is_asked(
    gemini: FakeGemini,
    with_gemini: MakeSettings,
    services: Callable[[Settings], WorkerServices],
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    gemini.script = ["wait 0.5"]
    running = asyncio.create_task(run_generation(services(with_gemini()), generation_id))
    await asyncio.to_thread(gemini.came.wait, 20)
    open_ones = await owner.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and pid <> pg_backend_pid() and state like 'idle in transaction%'"
    )
    assert open_ones == 0
    await running


async def test_calls_of_a_minute_are_counted_for_all_workers_together(
    gemini: FakeGemini,
    with_gemini: MakeSettings,
    services: Callable[[Settings], WorkerServices],
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    settings = with_gemini(gemini_calls_per_minute=2)
    ids = [
        await create_generation(database, actor, upload_id, parameters={"color": f"#00000{n}"})
        for n in range(3)
    ]
    await run_generation(services(settings), ids[0])
    await run_generation(services(settings), ids[1])
    with pytest.raises(RetryLater) as later:
        await GenerationRun(services(settings), ids[2]).run()
    assert 50 < later.value.seconds <= 61
    row = await generation(owner, ids[2])
    assert (row["status"], row["attempts"]) == ("QUEUED", 0)
    assert len(gemini.asked) == 2


async def test_a_repair_is_a_call_of_the_minute(
    gemini: FakeGemini,
    with_gemini: MakeSettings,
    services: Callable[[Settings], WorkerServices],
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    """It is counted, and not made where none is left; another attempt is, later."""
    settings = with_gemini(gemini_calls_per_minute=3)
    gemini.script = ["score of 140", "analysis", "score of 140"]
    ids = []
    for _ in range(2):
        actor = await make_user()
        upload_id = await ready_upload(database, storage, actor)
        ids.append(await create_generation(database, actor, upload_id, "analysis", {}))
    await run_generation(services(settings), ids[0])
    with pytest.raises(RetryLater):
        await GenerationRun(services(settings), ids[1]).run()
    rows = [await generation(owner, one) for one in ids]
    assert [(row["status"], row["attempts"]) for row in rows] == [("SUCCEEDED", 1), ("RUNNING", 1)]
    assert len(gemini.asked) == 3


async def test_each_tool_has_the_provider_that_the_settings_say(
    gemini: FakeGemini, with_gemini: MakeSettings, settings: Settings
) -> None:
    both = choose_providers(with_gemini(tool_providers=["eye-color=offline"]))
    assert (both.of("eye-color").name, both.of("hair-color").name) == ("offline", "gemini")
    assert both.of("unknown").name == "offline"
    assert both.makes is not None
    assert both.makes >= {"hairstyle", "eye-color", "beard", "analysis"}
    only_offline = choose_providers(settings)
    assert only_offline.of("hair-color").name == "offline"
    assert isinstance(only_offline, Providers)
    assert "hairstyle" not in (only_offline.makes or ())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hair-color", "names no tool and provider"),
        ("hair-color=another", "providers are offline and gemini"),
        ("=gemini", "names no tool and provider"),
        ("hair-color=gemini", "set GEMINI_API_KEY too"),
    ],
)
def test_settings_that_name_no_provider_are_refused(given: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(tool_providers=given)  # type: ignore[arg-type]


def test_a_worker_does_not_start_with_what_it_cannot_make(
    with_gemini: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="no prompt for no-such-tool"):
        choose_providers(with_gemini(tool_providers=["no-such-tool=gemini"]))
    monkeypatch.setitem(sys.modules, "google.genai", None)
    with pytest.raises(SettingsError, match=r"pip install 'tallygraph\[gemini\]'"):
        choose_providers(with_gemini())
