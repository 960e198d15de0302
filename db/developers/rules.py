"""What a developer's key may be: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from db.core.errors import DomainError, bad_input
from db.developers.tables import NAME_LIMIT_CHARACTERS


def problems_of_key_name(name: str) -> Iterator[DomainError]:
    """What is wrong with what a key is called."""
    if not 1 <= len(name.strip()) <= NAME_LIMIT_CHARACTERS or not name.strip().isprintable():
        yield bad_input(
            f"name must be one line of 1 to {NAME_LIMIT_CHARACTERS} characters.", "input", "name"
        )
