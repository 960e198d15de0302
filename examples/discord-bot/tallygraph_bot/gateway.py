"""What the bot needs of Discord, and nothing more: so that its logic runs without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Guild:
    """A server as Discord describes it."""

    id: str
    name: str
    icon: str | None
    owner_id: str
    member_count: int


@dataclass(frozen=True)
class Member:
    """Who used a command, in which server, and what they may there."""

    id: str
    name: str
    guild_id: str
    role_ids: frozenset[str] = frozenset()
    is_administrator: bool = False


class Gateway(Protocol):
    """What the bot does at Discord; whoever or whatever is not there any more is no fault.

    Each raises `Away` when Discord does not take it now: it is done once more.
    """

    async def give_role(self, guild_id: str, member_id: str, role_id: str) -> None:
        """Gives a member a role; once they have it, nothing."""

    async def take_role(self, guild_id: str, member_id: str, role_id: str) -> None:
        """Takes it from them."""

    async def tell(self, member_id: str, text: str) -> None:
        """Writes to somebody, outside of any command."""
