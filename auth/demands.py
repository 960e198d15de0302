"""Demands: what an operation wants of a sign-in beyond that there is one."""

from __future__ import annotations

import time
from enum import Flag, auto
from typing import Self

from auth.services import AccountServices
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.factors.operations import find_standing
from settings import Settings


class Demand(Flag):
    """How an actor must have signed in. Two may be demanded at once: `FRESH | STRONG`."""

    NOTHING = 0
    # Within FRESH_SIGN_IN_SECONDS. A guest has nothing to prove it with again, and passes.
    FRESH = auto()
    # With a second factor, if the account asks for one at all.
    STRONG = auto()


NOTHING_MORE = Demand.NOTHING
FRESH_SIGN_IN = Demand.FRESH
STRONG_SIGN_IN = Demand.STRONG


def errors_of(demands: Demand) -> tuple[ErrorCode, ...]:
    """The codes with which somebody who does not meet the demands is refused."""
    codes = {
        Demand.FRESH: ErrorCode.FRESH_SIGN_IN_REQUIRED,
        Demand.STRONG: ErrorCode.SECOND_FACTOR_REQUIRED,
    }
    return tuple(codes[demand] for demand in demands)


class Demands:
    """Whether actors meet what operations demand."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._fresh_seconds = settings.fresh_sign_in_seconds

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of one process."""
        return cls(services.database, services.settings)

    async def meet(self, actor: Actor, demands: Demand) -> None:
        """Refuses an actor who does not meet the demands; nobody is refused elsewhere.

        The token says it without a statement. Where it does not, the session may have been proven
        better since the token was issued, so the database is asked.
        """
        fresh_since = time.time() - self._fresh_seconds
        is_fresh = actor.is_anonymous or actor.authenticated_at > fresh_since
        wants_fresh = Demand.FRESH in demands and not is_fresh
        wants_strong = Demand.STRONG in demands and actor.assurance_level < 2
        if actor.user_id is None or not (wants_fresh or wants_strong):
            return
        async with self._database.transaction(SERVICE) as transaction:
            standing = await find_standing(
                transaction, actor.user_id, actor.session_id, fresh_seconds=self._fresh_seconds
            )
        if wants_strong and standing.asks_second_factor and standing.assurance_level < 2:
            raise DomainError(
                ErrorCode.SECOND_FACTOR_REQUIRED,
                "This needs your second factor. Send a code with `reauthenticate`, then try again.",
            )
        if wants_fresh and not standing.is_fresh:
            raise DomainError(
                ErrorCode.FRESH_SIGN_IN_REQUIRED,
                "It is a while since you signed in. Send your password or a code with "
                "`reauthenticate`, then try again.",
            )
