"""What a number must look like to be called: pure decisions, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator

from db.core.errors import DomainError, bad_input

# ITU-T E.164: a plus and the country's code first, at most 15 digits in all.
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def is_phone_number(text: str) -> bool:
    """Whether a text is a number in E.164."""
    return _E164.fullmatch(text) is not None


def problems_of_number(text: str) -> Iterator[DomainError]:
    """What is wrong with a number that is to be called."""
    if not is_phone_number(text):
        yield bad_input("to must be a number in E.164, such as +4930901820.", "input", "to")
