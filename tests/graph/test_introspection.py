"""Questions about the schema are answered once, and then from memory, which is bounded."""

from __future__ import annotations

import pytest
from graphql import get_introspection_query

from graph.engine.execution import introspection
from graph.engine.execution.engine import Engine
from tests.graph.conftest import Ask

WHOLE = get_introspection_query()
NAMED = "query($name: String!, $old: Boolean) { __type(name: $name) { fields(includeDeprecated: $old) { name } } }"


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was executed and not remembered."""
    documents: list[object] = []
    execute = introspection.execute

    def noted(schema: object, document: object, **options: object) -> object:
        documents.append(document)
        return execute(schema, document, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(introspection, "execute", noted)
    return documents


async def test_the_whole_schema_is_computed_once(ask: Ask, executed: list[object]) -> None:
    first, second = await ask(WHOLE), await ask(WHOLE)
    assert first == second
    assert len(first["data"]["__schema"]["types"]) > 100
    assert len(executed) <= 1
    beside = await ask(f"query Q {{ tools {{ id }} {WHOLE.split('{', 1)[1]}")
    assert beside["data"]["__schema"] == first["data"]["__schema"]
    assert "tools" in beside["data"]


async def test_other_variables_have_other_answers(ask: Ask, executed: list[object]) -> None:
    async def names(name: str) -> list[str]:
        answer = await ask(NAMED, {"name": name, "old": False})
        return [field["name"] for field in (answer["data"]["__type"] or {"fields": []})["fields"]]

    assert "email" in await names("User")
    assert "email" not in await names("Tool")
    assert await names("None") == []
    before = len(executed)
    assert "email" in await names("User")
    assert len(executed) == before


async def test_what_is_remembered_is_bounded(
    engine: Engine, ask: Ask, executed: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = introspection.Introspection(engine.schema, most_bytes=40)
    monkeypatch.setattr(engine, "_introspection", small)
    for alias in ("a", "b", "c", "b", "a"):
        answer = await ask(f"{{ {alias}: __schema {{ queryType {{ name }} }} }}")
        assert answer["data"] == {alias: {"queryType": {"name": "Query"}}}
    # One answer takes 30 bytes: each is forgotten for the next.
    assert len(executed) == 5
