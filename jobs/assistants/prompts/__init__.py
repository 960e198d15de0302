"""What a language model is told before a chat or an analysis: versioned texts of the server's.

A file says its `version`, which grows with each change; logs tell it and the digest of the texts.
What users and profiles say follows as data, between tags that it cannot close.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

FOLDER = Path(__file__).parent


class SystemPromptFile(BaseModel):
    """A prompt's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    text: str
    answer_schema: str = ""
    request: str = ""
    repair: str = ""


class SystemPrompt:
    """The system prompt of one feature."""

    def __init__(self, feature: str) -> None:
        raw = (FOLDER / f"{feature}.toml").read_bytes()
        self.file = SystemPromptFile.model_validate(tomllib.loads(raw.decode()))
        schema = (FOLDER / self.file.answer_schema).read_bytes() if self.file.answer_schema else b""
        self.answer_schema: dict[str, Any] = json.loads(schema) if schema else {}
        self.name = f"{feature}/{self.file.version}"
        self.digest = hashlib.sha256(raw + schema).hexdigest()[:12]

    @property
    def text(self) -> str:
        """The instructions, and the schema of the answer where there is one."""
        if not self.answer_schema:
            return self.file.text.strip()
        schema = json.dumps(self.answer_schema, separators=(",", ":"))
        return f"{self.file.text.strip()}\n\n<schema>{schema}</schema>"


@cache
def system_prompt(feature: str) -> SystemPrompt:
    """The prompt of a feature; it is read once."""
    return SystemPrompt(feature)


def as_data(tag: str, value: Any, most_characters: int) -> str:
    """What is data and no instruction, as JSON in which no tag can end."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f"<{tag}>{written[:most_characters]}</{tag}>"
