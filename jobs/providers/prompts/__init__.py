"""What a model is asked for each tool: versioned texts, filled from typed parameters alone.

A tool's file says its `version`, which grows with each change; logs tell it and the digest of the
texts. No text of a user gets into a prompt: colours and numbers are checked by their form, a choice
stands for a text of ours, and names come from the catalog.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from jobs.providers.base import GenerationRequest

FOLDER = Path(__file__).parent
LONGEST_NAME = 80
_COMMON = "common.toml"
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_PLACE = re.compile(r"\{(\w+)\}")
_NO_NAME = re.compile(r"[^\w &'’.,()/-]+")


class UnfitParameter(Exception):
    """A parameter that a prompt has no place for; names it, and not its value."""


class Parameter(BaseModel):
    """What may stand in one place of a prompt.

    Without a value there stands the `default`. A parameter with a `text` of its own adds that to
    the prompt, or what is said `without` it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["hex", "number", "choice", "name"]
    also: str = ""
    default: str | int | None = None
    minimum: int = 0
    maximum: int = 0
    texts: dict[str, str] = {}
    text: str = ""
    without: str = ""

    def written(self, value: object) -> str | None:
        """The value as it stands in the prompt; None when it is none of the parameter's."""
        if self.kind == "choice":
            return self.texts.get(value) if isinstance(value, str) else None
        if self.kind == "number":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            fits = is_number and self.minimum <= value <= self.maximum  # type: ignore[operator]
            return str(round(value)) if fits else None  # type: ignore[call-overload]
        if not isinstance(value, str):
            return None
        if self.kind == "hex":
            return value.lower() if _HEX.fullmatch(value) else None
        name = " ".join(_NO_NAME.sub(" ", value).split())[:LONGEST_NAME].strip()
        return f"“{name}”" if name else None


class PromptFile(BaseModel):
    """A tool's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    makes: Literal["image", "analysis"]
    text: str
    answer_schema: str = ""
    parameters: dict[str, Parameter] = {}


class Prompt:
    """What is asked for one tool."""

    def __init__(self, tool_id: str) -> None:
        raw = (FOLDER / f"{tool_id}.toml").read_bytes()
        common = (FOLDER / _COMMON).read_bytes()
        self.file = PromptFile.model_validate(tomllib.loads(raw.decode()))
        schema = (FOLDER / self.file.answer_schema).read_bytes() if self.file.answer_schema else b""
        self.answer_schema: dict[str, Any] = json.loads(schema) if schema else {}
        self.name = f"{tool_id}/{self.file.version}"
        self.digest = hashlib.sha256(raw + common + schema).hexdigest()[:12]
        self._common: dict[str, Any] = tomllib.loads(common.decode())

    def text(self, request: GenerationRequest) -> str:
        """The prompt for one generation; `UnfitParameter` for what has no place in it."""
        values, more = {}, []
        for name, parameter in self.file.parameters.items():
            value = _value(request, name, parameter)
            if value is None and parameter.text:
                more.append(parameter.without)
                continue
            written = parameter.written(value)
            if written is None:
                raise UnfitParameter(name)
            values[name] = written
            more.append(parameter.text)
        parts = [self.file.text, *more]
        if self.file.makes == "image":
            parts = [self._common["image"], *parts, self._common["mask"] if request.mask else ""]
        return "\n\n".join(_filled(part, values) for part in parts if part)


def _value(request: GenerationRequest, name: str, parameter: Parameter) -> object:
    given: Mapping[str, object] = request.names if parameter.kind == "name" else request.parameters
    for known in (name, parameter.also):
        if known in given:
            return given[known]
    return parameter.default


def _filled(text: str, values: Mapping[str, str]) -> str:
    """The text in one line, each place filled once: what stands in one is never read again."""
    return _PLACE.sub(lambda place: values[place[1]], " ".join(text.split()))


@cache
def prompts() -> Mapping[str, Prompt]:
    """The prompt of each tool that has one."""
    files = sorted(FOLDER.glob("*.toml"))
    return {file.stem: Prompt(file.stem) for file in files if file.name != _COMMON}
