"""Who shows Attuned: five people with accounts and three guests, with what each answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

# So that a guest, who has no address, is the same one each time.
GUESTS = UUID("0f6c3c53-6d3e-4f5e-9a65-6a3d1d0c7a11")
# Everybody's. The command says it, and runs in no production.
PASSWORD = "violet lantern 7"
PREMIUM = "attuned-premium"
EVERYBODY = ("penis", "vagina", "breasts")


@dataclass(frozen=True)
class DemoPerson:
    """Somebody: who they say they are, how they answer, and how far they are.

    `leads` and `follows` answer the items of power, 1 to 7; `wants` and `refuses` name items that
    are YES and NO, and all others are MAYBE. `used_today` are the activities drawn today.
    """

    name: str
    email: str | None = None
    time_zone: str = "Europe/Berlin"
    gender: str = "RATHER_NOT_SAY"
    orientation: str = "RATHER_NOT_SAY"
    anatomy_self: Sequence[str] = ()
    anatomy_preference: Sequence[str] = EVERYBODY
    leads: int = 4
    follows: int = 4
    wants: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    limits: Sequence[str] = ()
    plan_id: str | None = None
    used_today: int | None = None
    is_surveyed: bool = True
    scales: Mapping[str, int] = field(default_factory=dict)

    @property
    def guest_id(self) -> UUID:
        """A guest's id, the same in every deployment."""
        return uuid5(GUESTS, self.name)

    @property
    def demographics(self) -> dict[str, Any] | None:
        """What they say of themselves; nothing while they have not come so far."""
        if not self.anatomy_self:
            return None
        return {
            "name": self.name,
            "gender": self.gender,
            "orientation": self.orientation,
            "relationship": "RATHER_NOT_SAY",
            "anatomy_self": list(self.anatomy_self),
            "anatomy_preference": list(self.anatomy_preference),
        }

    def answer(self, item_id: str, kind: str) -> int | str | list[str]:
        """Their answer to an item of the survey."""
        if kind == "CHECKLIST":
            return list(self.limits)
        if kind == "SCALE":
            powers = {"A13": self.leads, "A15": self.leads}
            powers |= {"A14": self.follows, "A16": self.follows}
            return {**powers, **self.scales}.get(item_id, 4)
        return "YES" if item_id in self.wants else "NO" if item_id in self.refuses else "MAYBE"


def _items(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALICE = DemoPerson(
    name="Alice",
    email="alice@test.com",
    gender="WOMAN",
    orientation="BISEXUAL",
    anatomy_self=("vagina", "breasts"),
    leads=7,
    follows=1,
    wants=_items("B1b B2b B3b B5b B11a B15b B16b B17b B19 B20 B22b B25b B30 B33 B35 B36"),
    refuses=_items("B8a B8b B10a B10b B16a B17a"),
    limits=("watersports",),
    plan_id=PREMIUM,
    scales={"A1": 6, "A2": 6, "A3": 5, "A4": 6},
)
BOB = DemoPerson(
    name="Bob",
    email="bob@test.com",
    time_zone="America/New_York",
    gender="MAN",
    orientation="STRAIGHT",
    anatomy_self=("penis",),
    anatomy_preference=("vagina", "breasts"),
    leads=1,
    follows=7,
    wants=_items("B1a B2a B3a B5a B11b B15a B16a B17a B20 B22a B25a B26 B30 B33 B36"),
    refuses=_items("B8a B8b B13a B13b B24a B27"),
    limits=("breath", "recording"),
    used_today=20,
)
CHARLIE = DemoPerson(
    name="Charlie",
    email="charlie@test.com",
    gender="NON_BINARY",
    anatomy_self=("penis", "breasts"),
    leads=6,
    follows=6,
    wants=_items("B1a B1b B9a B9b B18a B18b B21 B24a B24b B27 B29 B31"),
    refuses=_items("B10a B10b"),
    limits=("public",),
)
DIANA = DemoPerson(
    name="Diana",
    email="diana@test.com",
    time_zone="Asia/Tokyo",
    gender="WOMAN",
    orientation="GAY",
    anatomy_self=("vagina", "breasts"),
    anatomy_preference=("vagina", "breasts"),
    leads=2,
    follows=2,
    wants=_items("B1a B1b B2a B2b B12a B12b B20 B28 B29 B30 B33 B34 B35 B36"),
    refuses=_items("B4a B4b B6a B6b B7a B7b B8a B8b B10a B10b"),
    limits=("impact", "degradation"),
    used_today=25,
)
EVE = DemoPerson(name="Eve", email="eve@test.com", is_surveyed=False)
MEMBERS = (ALICE, BOB, CHARLIE, DIANA, EVE)
ANONYMOUS = (
    DemoPerson(
        name="Robin",
        anatomy_self=("penis",),
        leads=6,
        follows=2,
        wants=_items("B1b B3b B15b B19 B30"),
    ),
    DemoPerson(
        name="Kim",
        anatomy_self=("vagina", "breasts"),
        leads=1,
        follows=6,
        wants=_items("B1a B3a B15a B20 B33"),
        limits=("recording",),
    ),
    DemoPerson(name="Sascha", anatomy_self=("breasts",), refuses=_items("B8a B8b B10a B10b")),
)
