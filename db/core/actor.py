"""The actor: on whose behalf a statement runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

Role = Literal["anon", "authenticated", "service"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is asking. `role` is also the name of the Postgres LOGIN role that asks for them.

    `expires_at` is the access token's `exp` in Unix seconds; 0 means never (no token, or a job).
    `assurance_level` says with how many factors they signed in (`db/accounts/assurance.py`), and
    `authenticated_at` when they last did, in Unix seconds; 0 means that nobody knows.
    """

    role: Role
    user_id: UUID | None = None
    session_id: UUID | None = None
    is_anonymous: bool = False
    is_admin: bool = False
    expires_at: int = 0
    assurance_level: int = 1
    authenticated_at: int = 0
    user_claim: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Writes the `app.user_id` claim once: the user's id as text, empty for nobody."""
        object.__setattr__(self, "user_claim", str(self.user_id) if self.user_id else "")


NOBODY = Actor("anon")
SERVICE = Actor("service")
