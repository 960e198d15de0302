"""Statements that are made for each call are compiled once, and keep their own values."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.sql.elements import ClauseElement

from db.core import compiling
from db.core.compiling import compiled
from db.profiles.tables import Profile


def rename(name: str, **more: object) -> ClauseElement:
    """A statement made anew, as operations make theirs."""
    return update(Profile).values(name=name, updated_at=func.now(), **more).returning(Profile.id)


def test_the_same_structure_has_the_same_text_and_its_own_values() -> None:
    first, names, values = compiled(rename("Ada"))
    second, other_names, other_values = compiled(rename("Grace"))
    assert first == second
    assert names == other_names
    assert [values[name] for name in names] == ["Ada"]
    assert [other_values[name] for name in other_names] == ["Grace"]


def test_another_structure_has_another_text() -> None:
    assert compiled(rename("Ada"))[0] != compiled(rename("Ada", thumbnail="x"))[0]
    same_column = select(Profile.id).where(Profile.name == "Ada")
    is_null = select(Profile.id).where(Profile.name.is_(None))
    assert compiled(same_column)[0] != compiled(is_null)[0]


def test_the_second_of_a_structure_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(rename("Ada"))
    monkeypatch.setattr("sqlalchemy.sql.compiler.SQLCompiler.process", None)
    compiled(rename("Grace"))


def test_text_keeps_parameters_that_are_given_later() -> None:
    statement = text("select :one + :two")
    sql, names, values = compiled(statement)
    assert sql == "select $1 + $2"
    assert (names, values) == (["one", "two"], {"one": None, "two": None})
    assert compiled(statement) is compiled(statement)


def test_what_is_remembered_is_bounded() -> None:
    for number in range(compiling.STRUCTURES * 3):
        compiled(select(text(f"{number}")))
    # The cache gives back half of what is above its size, when it is half above it.
    assert len(compiling._by_structure) <= compiling.STRUCTURES * 2
