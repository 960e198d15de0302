"""Rules for chats, without I/O: what a message may be, and how much of a chat a model is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from db.core.errors import DomainError, bad_input

MESSAGE_LIMIT_CHARACTERS = 4_000
# What a model counts is not known before it is asked: about so many characters are a token.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class SaidMessage:
    """One message of a chat; the role is USER or ASSISTANT."""

    role: str
    text: str


def problems_of_message(text: str) -> Iterator[DomainError]:
    """What is wrong with a message that a user sends."""
    if not text.strip() or len(text) > MESSAGE_LIMIT_CHARACTERS:
        yield bad_input(
            f"text must have 1 to {MESSAGE_LIMIT_CHARACTERS} characters, not all of them blank.",
            "input",
            "text",
        )
    elif "\x00" in text:
        yield bad_input("text may not have the character U+0000.", "input", "text")


def shown_messages(messages: Sequence[SaidMessage], most_tokens: int) -> list[SaidMessage]:
    """The newest messages that fit, in their order; the last always, and the first is a user's."""
    shown: list[SaidMessage] = []
    room = most_tokens * CHARACTERS_PER_TOKEN
    for message in reversed(messages):
        room -= len(message.text)
        if room < 0 and shown:
            break
        shown.insert(0, message)
    while len(shown) > 1 and shown[0].role != "USER":
        shown.pop(0)
    return shown
