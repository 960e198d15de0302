"""Commands on what users say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.user_profiles.rules import problems_of_user_profile

_UPDATE = SqlFunction[UUID]("app.update_user_profile", "uuid", given="jsonb")


def update_user_profile(problems: Problems, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Changes what is given of the caller's own profile, and makes it the first time.

    Gives the caller. What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_user_profile(given))
    problems.refuse()
    return _UPDATE(given=given)
