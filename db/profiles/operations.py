"""Commands on profiles. What is given of one is a mapping by its columns' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from db.core.commands import FunctionCall
from db.core.errors import Problems
from db.core.writes import create_row, delete_row, update_row
from db.profiles.rules import problems_of_profile
from db.profiles.tables import Profile


def create_profile(problems: Problems, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Creates a profile of the actor's, or finds the one with the same `local_id`; gives its id.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_profile(given))
    problems.refuse()
    return create_row(Profile, given)


def update_profile(
    problems: Problems, profile_id: UUID, given: Mapping[str, Any]
) -> FunctionCall[UUID]:
    """Changes what is given of a profile of the actor's; NOT_FOUND for any other. Gives its id."""
    problems.add(problems_of_profile(given))
    problems.refuse()
    return update_row(Profile, profile_id, given)


def delete_profile(profile_id: UUID) -> FunctionCall[UUID]:
    """Deletes a profile of the actor's; NOT_FOUND for any other. Gives its id."""
    return delete_row(Profile, profile_id)
