"""Commands on a user's own row. What is given of it is a mapping by its columns' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select

from db.accounts.operations import CHANGE_USER, username_in_use
from db.accounts.tables import User
from db.accounts.user_rules import cleaned, problems_of_user
from db.core.commands import FunctionCall
from db.core.errors import DomainError, Problems
from db.core.pool import Transaction


def change_user(problems: Problems, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Changes what is given of the caller's own row; gives its id.

    What is wrong is told together with the `problems` found before.
    """
    values = cleaned(given)
    problems.add(problems_of_user(values))
    problems.refuse()
    return CHANGE_USER(given=values)


async def refuse_taken_username(transaction: Transaction, username: str | None) -> None:
    """Raises USERNAME_IN_USE when somebody has the name; the unique index decides races."""
    if username is None:
        return
    taken = select(exists().where(User.username_key == username.lower()))
    if await transaction.fetch_value(taken):
        raise username_in_use()


async def free_username(transaction: Transaction, username: str | None) -> str | None:
    """The name, unless somebody has it: then None, for one that is made up."""
    try:
        await refuse_taken_username(transaction, username)
    except DomainError:
        return None
    return username
