"""docs/lifecycles.md: what is written by hand, then every lifecycle as a diagram and a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from db.core.lifecycles import ALWAYS, Conditional, Lifecycle
from db.core.registry import models

DOCUMENT = Path(__file__).parents[2] / "docs" / "lifecycles.md"
MARK = "<!-- Below this line, `tallygraph lifecycles` writes. -->\n\n"


def lifecycles_text() -> str:
    """The whole document: what stands above the mark, and the lifecycles as they are declared."""
    above = DOCUMENT.read_text().partition(MARK)[0]
    declared = (
        "\n".join(_section(name, model.lifecycle))
        for name, model in sorted(models().items())
        if model.lifecycle is not None
    )
    return above + MARK + "\n".join(declared)


def _section(table: str, lifecycle: Lifecycle) -> Iterator[str]:
    named = "set once" if lifecycle.dated else "the state"
    yield f"## {table}\n"
    yield f"{lifecycle.states.__doc__} `{lifecycle.column}` is {named}.\n"
    yield "```mermaid\nstateDiagram-v2"
    yield from _arrows("[*]", lifecycle.beginnings())
    for state in lifecycle.states:
        yield from _arrows(state.name, lifecycle.targets(state))
        if not lifecycle.targets(state):
            yield f"    {state.name} --> [*]"
    yield "```\n"
    yield "| State | What it means | Where it goes |\n|---|---|---|"
    for state in lifecycle.states:
        goes = ", ".join(_target(target) for target in lifecycle.targets(state)) or "final"
        yield f"| `{state}` | {state.description} | {goes} |"
    for column in lifecycle.monotonic:
        yield f"\n`{column}` never falls."
    yield ""


def _arrows(source: str, targets: tuple[Conditional, ...]) -> Iterator[str]:
    for target in targets:
        label = "" if target.condition == ALWAYS else f" : {target.meaning}"
        yield f"    {source} --> {target.state.name}{label}"


def _target(target: Conditional) -> str:
    only = "" if target.condition == ALWAYS else f" when {target.meaning}"
    return f"`{target.state}`{only}"
