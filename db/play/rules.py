"""Who may be asked to play: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from db.core.errors import DomainError, bad_input
from db.core.texts import problems_of_name, written_name

MOST_OTHERS = 11
ANATOMY = ("penis", "vagina", "breasts")


@dataclass(frozen=True)
class OtherPlayer:
    """Somebody to play with: a partner with an account, or a name and anatomy without one."""

    partner_id: UUID | None
    name: str | None
    anatomy: Sequence[str]

    def stored(self) -> dict[str, object]:
        """As `app.start_play_session` takes it."""
        if self.partner_id is not None:
            return {"partner": str(self.partner_id)}
        return {"name": written_name(self.name or ""), "anatomy": sorted(set(self.anatomy))}


def problems_of_players(players: Sequence[OtherPlayer]) -> Iterator[DomainError]:
    """What is wrong with those who are to play along."""
    if len(players) > MOST_OTHERS:
        yield bad_input(f"Name at most {MOST_OTHERS} other players.", "input", "players")
    for place, player in enumerate(players):
        yield from _problems_of(player, ("input", "players", str(place)))


def opponent(name: str | None) -> list[dict[str, object]]:
    """The opponent of who plays alone, as `app.start_play_session` takes one with a name."""
    return [] if name is None else [{"opponent": written_name(name)}]


def problems_of_opponent(name: str | None, *, has_players: bool) -> Iterator[DomainError]:
    """What is wrong with the name of who plays alone's opponent."""
    if name is None:
        return
    if has_players:
        yield bad_input("Only who plays alone has an opponent.", "input", "opponentName")
    yield from problems_of_name(written_name(name), "input", "opponentName")


def _problems_of(player: OtherPlayer, path: tuple[str, ...]) -> Iterator[DomainError]:
    if player.partner_id is not None:
        if player.name is not None or player.anatomy:
            yield bad_input("A partner comes with a name and anatomy of their own.", *path)
        return
    yield from problems_of_name(written_name(player.name or ""), *path, "name")
    if set(player.anatomy) - set(ANATOMY):
        yield bad_input(f"anatomy is some of {', '.join(ANATOMY).upper()}.", *path, "anatomy")
