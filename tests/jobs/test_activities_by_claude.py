"""Claude writes activities where there is its key and none of Gemini's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from pydantic import SecretStr

from db.core.pool import Database
from db.files.storage import Storage
from jobs.assistants.claude_writer import ClaudeWriter, choose_writer
from jobs.core.declare import WorkerServices
from jobs.play import note_play_rules
from jobs.providers import choose_providers
from jobs.providers.gemini_writer import GeminiWriter
from settings import Settings

from ..conftest import MakeUser
from ..fakes.anthropic import KEY, FakeAnthropic, fake_anthropic
from .helpers import MakeSettings
from .test_activities import Writing, dare, says


@pytest.fixture(scope="module")
def claude() -> Iterator[FakeAnthropic]:
    with fake_anthropic() as fake:
        yield fake


@pytest.fixture
async def writing(
    owner: asyncpg.Connection,
    database: Database,
    storage: Storage,
    settings: Settings,
    claude: FakeAnthropic,
) -> AsyncIterator[Writing]:
    claude.forget()
    with_claude = settings.model_copy(
        update={"anthropic_api_key": SecretStr(KEY), "anthropic_api_url": claude.url}
    )
    providers = choose_providers(with_claude, choose_writer(with_claude))
    services = WorkerServices(database, storage, providers, lambda: None, with_claude)
    await note_play_rules(database, providers, with_claude)
    yield Writing(owner, services)
    await owner.execute("update play_rules set written_activities = 0")


async def test_what_passes_is_kept_and_logged(
    writing: Writing, claude: FakeAnthropic, make_user: MakeUser
) -> None:
    one, two = await make_user(), await make_user()
    await writing.begin(one, two)
    await writing.boundary(one, "impact", "HARD")
    good = dare()
    answer = says(good, dare(limit_keys=["impact"]), dare(level="X"))
    claude.script[:] = [f"{answer.replace('says ', 'says Here: ', 1)}\n```"]
    assert await writing.write() is False
    (kept,) = await writing.kept()
    assert (kept["text"], kept["source"]) == (good["steps"][0], "AI")
    (log,) = await writing.logged()
    assert (log["provider"], log["model"]) == ("anthropic", "claude-sonnet-4-6")
    assert (log["outcome"], log["approved_count"], log["refused_count"]) == ("ANSWERED", 1, 2)
    assert log["cost_micro_usd"] > 0
    assert json.loads(log["usage"])["outputTokens"] == 60
    (asked,) = claude.asked
    assert asked.body["messages"][0]["content"][0]["text"] == log["prompt"]
    assert '"activities"' in asked.system
    for secret in ("Secret name", str(one.user_id), str(two.user_id), str(writing.session)):
        assert secret not in json.dumps(asked.body)


@pytest.mark.parametrize(
    ("behaviour", "outcomes"),
    [
        ("says I cannot do that.", ("ANSWERED",) * 3),
        (says(dare())[:-9], ("ANSWERED",) * 3),
        ("overloaded", ("FAILED",) * 3),
        ("overloaded midway", ("FAILED",) * 3),
        ("refused", ("REFUSED",)),
        ("wrong key", ("FAILED",)),
        ("too many for an hour", ("FAILED",)),
    ],
    ids=["words", "half", "busy", "busy midway", "refused", "wrong key", "busy for an hour"],
)
async def test_what_fails_is_logged_and_tried_three_times_where_that_may_help(
    writing: Writing,
    claude: FakeAnthropic,
    make_user: MakeUser,
    behaviour: str,
    outcomes: tuple[str, ...],
) -> None:
    await writing.begin(await make_user(), await make_user())
    claude.otherwise = behaviour
    for _ in range(5):
        if not await writing.write():
            break
    assert [log["outcome"] for log in await writing.logged()] == list(outcomes)
    assert len(claude.asked) == len(outcomes)
    assert await writing.kept() == []
    assert KEY not in repr(await writing.logged())


async def test_a_silent_provider_is_left_after_its_time(
    writing: Writing,
    claude: FakeAnthropic,
    make_user: MakeUser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.activities.TIMEOUT_SECONDS", 0.5)
    await writing.begin(await make_user(), await make_user())
    claude.script[:] = ["silent midway"]
    assert await writing.write() is True
    (log,) = await writing.logged()
    assert log["outcome"] == "TIMED_OUT"
    assert json.loads(log["usage"])["requests"] == 1
    assert claude.hung_up.wait(5)


def test_gemini_writes_where_both_have_a_key(with_gemini: MakeSettings, settings: Settings) -> None:
    both = with_gemini(anthropic_api_key=SecretStr(KEY))
    assert isinstance(choose_providers(both, choose_writer(both)).writer, GeminiWriter)
    alone = settings.model_copy(update={"anthropic_api_key": SecretStr(KEY)})
    assert isinstance(choose_providers(alone, choose_writer(alone)).writer, ClaudeWriter)
    assert choose_providers(settings, choose_writer(settings)).writer is None
