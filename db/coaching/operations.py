"""Commands on coaching sessions. What is given of one is a mapping by its columns' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from db.coaching.rules import problems_of_session
from db.coaching.tables import CoachingSession
from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.core.writes import delete_row, update_row

_CREATE = SqlFunction[UUID]("app.create_coaching_session", "uuid", given="jsonb")


def create_session(problems: Problems, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Keeps a session about a profile of the actor's, or finds the one with the same `client_id`.

    Gives its id. What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_session(given))
    problems.refuse()
    return _CREATE(given=given)


def update_session(
    problems: Problems, session_id: UUID, given: Mapping[str, Any]
) -> FunctionCall[UUID]:
    """Changes what is given of a session of the actor's; NOT_FOUND for any other. Gives its id."""
    problems.add(problems_of_session(given))
    problems.refuse()
    return update_row(CoachingSession, session_id, given)


def delete_session(session_id: UUID) -> FunctionCall[UUID]:
    """Deletes a session of the actor's; NOT_FOUND for any other. Gives its id."""
    return delete_row(CoachingSession, session_id)
