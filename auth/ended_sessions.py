"""Sessions that a command has just ended in the database: this process refuses them at once."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from auth.services import AccountServices
from auth.sessions import Sessions
from db.accounts import sessions as account_sessions
from db.core.actor import SERVICE
from db.core.pool import Database


class EndedSessions:
    """Learns which sessions of a user have ended; the watch of revocations would in two seconds."""

    def __init__(self, database: Database, sessions: Sessions) -> None:
        self._database = database
        self._sessions = sessions

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of a process."""
        return cls(services.database, services.sessions)

    async def learn(self, user_id: UUID) -> None:
        """Refuses the tokens of a user's sessions that ended just now."""
        async with self._database.transaction(SERVICE) as transaction:
            ended = await account_sessions.list_sessions_just_ended(transaction, user_id)
        self._sessions.ended(ended)
