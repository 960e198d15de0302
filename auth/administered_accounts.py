"""Accounts that admins open for others, and passwords that they set: hashing around the commands.

No transaction is open while a password is hashed.
"""

from __future__ import annotations

from typing import Self
from uuid import UUID

from sqlalchemy import select

from auth.services import AccountServices
from db.accounts import rules
from db.accounts.tables import User
from db.administration import operations
from db.administration.new_users import NewUser
from db.core.actor import Actor
from db.core.commands import FunctionCall
from db.core.errors import DomainError, ErrorCode
from db.core.origin import Origin


class AdministeredAccounts:
    """What admins do to the ways into accounts, of one process."""

    def __init__(self, services: AccountServices) -> None:
        self._database = services.database
        self._passwords = services.passwords
        self._blocked_words = services.settings.blocked_words

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of a process."""
        return cls(services)

    async def create(self, new: NewUser, origin: Origin) -> FunctionCall[UUID]:
        """The command that opens an account."""
        password_hash = None if new.password is None else await self._passwords.hash(new.password)
        return operations.create(new.with_hash(password_hash), origin)

    async def set_password(
        self, admin: Actor, user_id: UUID, password: str, origin: Origin
    ) -> FunctionCall[UUID]:
        """The command that gives an account another password."""
        password = rules.normalise_password(password)
        names = await self._names(admin, user_id)
        rules.check_new_password(password, "password", (*names, *self._blocked_words))
        return operations.set_password(user_id, await self._passwords.hash(password), origin)

    async def _names(self, admin: Actor, user_id: UUID) -> tuple[str | None, str]:
        """What no password of a user is made of, as the admin may read it."""
        async with self._database.transaction(admin) as transaction:
            row = await transaction.fetch_one(
                select(User.email, User.username).where(User.id == user_id)
            )
        if row is None:
            raise DomainError(ErrorCode.NOT_FOUND, "There is no such user.", ("input", "id"))
        return row["email"], row["username"]
