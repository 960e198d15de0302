"""Who may be asked to play: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from db.core.errors import DomainError, bad_input
from db.core.texts import is_visible_line

MOST_OTHERS = 11
NAME_LIMIT_CHARACTERS = 100
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
        return {"name": (self.name or "").strip(), "anatomy": sorted(set(self.anatomy))}


def problems_of_players(players: Sequence[OtherPlayer]) -> Iterator[DomainError]:
    """What is wrong with those who are to play along."""
    if len(players) > MOST_OTHERS:
        yield bad_input(f"Name at most {MOST_OTHERS} other players.", "input", "players")
    for place, player in enumerate(players):
        yield from _problems_of(player, ("input", "players", str(place)))


def opponent(name: str | None) -> list[dict[str, object]]:
    """The opponent of who plays alone, as `app.start_play_session` takes one with a name."""
    return [] if name is None else [{"opponent": name.strip()}]


def problems_of_opponent(name: str | None, *, has_players: bool) -> Iterator[DomainError]:
    """What is wrong with the name of who plays alone's opponent."""
    if name is None:
        return
    if has_players:
        yield bad_input("Only who plays alone has an opponent.", "input", "opponentName")
    yield from _problems_of_name(name, "opponentName", ("input", "opponentName"))


def _problems_of_name(name: str, field: str, path: tuple[str, ...]) -> Iterator[DomainError]:
    if not 1 <= len(name.strip()) <= NAME_LIMIT_CHARACTERS:
        yield bad_input(f"{field} must have 1 to 100 characters.", *path)
    elif not is_visible_line(name.strip()):
        yield bad_input(f"{field} must be one line of characters that can be seen.", *path)


def _problems_of(player: OtherPlayer, path: tuple[str, ...]) -> Iterator[DomainError]:
    if player.partner_id is not None:
        if player.name is not None or player.anatomy:
            yield bad_input("A partner comes with a name and anatomy of their own.", *path)
        return
    yield from _problems_of_name(player.name or "", "name", (*path, "name"))
    if set(player.anatomy) - set(ANATOMY):
        yield bad_input(f"anatomy is some of {', '.join(ANATOMY)}.", *path, "anatomy")
