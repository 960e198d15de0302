"""What an organization may be called: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from db.core.errors import DomainError, bad_input
from db.core.texts import is_visible_line

NAME_LIMIT_CHARACTERS = 100


def problems_of_name(name: str) -> Iterator[DomainError]:
    """What is wrong with a name; blanks around it do not count."""
    stripped = name.strip()
    if not 1 <= len(stripped) <= NAME_LIMIT_CHARACTERS:
        yield bad_input("name must have 1 to 100 characters.", "input", "name")
    elif not is_visible_line(stripped):
        yield bad_input("name must be one line of characters that can be seen.", "input", "name")
