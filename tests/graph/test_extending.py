"""A slice adds fields to a type of another: in a stable order, once, with a type, where they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import strawberry

from graph.engine.checks import SchemaError
from graph.engine.declare import expression
from graph.engine.extending import ExtensionError, apply_extensions, extend
from graph.schema import _parts, slices
from tests.running import ROOT


@pytest.fixture
def person() -> Any:
    slices()  # what they declare is applied, and out of the way

    @strawberry.type
    class Person:
        name: str = strawberry.field(description="What they are called.")

    return Person


def field(returns: Any = str) -> Any:
    return expression(lambda row: row.c.name, returns=returns, description="A field.")


def names(person: Any) -> list[str]:
    return [field.python_name for field in person.__strawberry_definition__.fields]


def test_fields_stand_in_the_order_of_their_declaration_or_after_the_one_they_name(
    person: Any,
) -> None:
    extend(person, after="born", died=field(), buried=field())
    extend(person, after="name", nickname=field())
    extend(person, born=field())
    extend(person, likes=field())
    apply_extensions()
    assert names(person) == ["name", "nickname", "born", "died", "buried", "likes"]


def test_the_order_of_fields_is_that_of_the_slices_names(person: Any) -> None:
    for name in ("uploads", "credits", "generations"):  # as imports of one another have it
        given = {"__name__": f"graph.{name}", "extend": extend, "person": person, "field": field}
        exec(f"extend(person, {name}_1=field(), {name}_0=field())", given)
    apply_extensions()
    slices_of_fields = [name[:-2] for name in names(person)[1:]]
    assert slices_of_fields == sorted(slices_of_fields)
    assert names(person)[1:3] == ["credits_1", "credits_0"]


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda person: extend(person, name=field()), "Person.name is declared twice"),
        (lambda person: extend(person, born=field(None)), "Person.born does not say"),
        (lambda person: extend(person, after="born", died=field()), "declares: Person.born"),
    ],
)
def test_what_cannot_be_added_is_refused(
    person: Any, declare: Callable[[Any], None], message: str
) -> None:
    declare(person)
    with pytest.raises(ExtensionError, match=re.escape(message)):
        apply_extensions()


def test_the_accounts_know_no_other_slice() -> None:
    text = Path(ROOT, "graph/accounts.py").read_text()
    others = {module.__name__ for module in slices()} - {"graph.accounts"}
    assert not [name for name in others if name in text]


def test_a_part_of_a_root_type_has_its_slices_name(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = next(module for module in slices() if module.__name__ == "graph.jobs")
    misnamed = type("JobQuery", (), {"__module__": "graph.jobs"})
    monkeypatch.setattr(jobs, "JobQuery", misnamed, raising=False)
    with pytest.raises(SchemaError, match=r"graph\.jobs\.JobQuery is to be called JobsQuery"):
        list(_parts("Query"))
