"""The ledger in the plainest words: what a wallet should hold after everything that can happen."""

from __future__ import annotations

from dataclasses import dataclass, field

DAILY_LIMIT = 6
DAILY_SOURCES = ("PLAN",)
# Days until a grant expires that never does.
NEVER = 10_000


class RefusedError(Exception):
    """The model refuses a step; the code is the message."""


@dataclass
class Grant:
    """Credits of one source; `days` until they expire, 0 or less when they have."""

    source: str
    days: float
    remaining: int
    number: int
    amount: int = 0

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.days <= 0


@dataclass
class Spend:
    """Credits used on a day: what is still to be refunded of which grants, in the order taken."""

    parts: list[tuple[Grant, int]]
    left: int
    day: int
    # How many days each grant had to live when it was spent.
    lived: dict[int, float]


@dataclass
class Hold:
    """Credits reserved; `parts` is empty when nothing of the wallet is in it."""

    amount: int
    parts: list[tuple[Grant, int]]
    day: int
    hours: int
    lived: dict[int, float]
    is_open: bool = True


@dataclass
class Wallet:
    """What one user's wallet should hold, in the plainest words."""

    grants: list[Grant] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    spends: list[Spend] = field(default_factory=list)
    unlimited: bool = False
    capped: bool = False
    used_today: int = 0
    day: int = 0

    def sweep(self) -> None:
        """What has expired is gone before anything else happens."""
        for grant in self.grants:
            if grant.expired:
                grant.remaining = 0

    def give(self, source: str, amount: int, days: float) -> Grant:
        """A new grant."""
        grant = Grant(source, days, amount, len(self.grants), amount)
        self.grants.append(grant)
        return grant

    def take(self, amount: int, *, capped: bool) -> list[tuple[Grant, int]]:
        """Takes credits in their order of use, or refuses and leaves all as it was.

        With `capped`, no more of what plans gave than the day's cap allows.
        """
        usable = [g for g in self.grants if not g.expired and g.remaining]
        if sum(g.remaining for g in usable) < amount:
            raise RefusedError("INSUFFICIENT_CREDITS")
        allowance = DAILY_LIMIT - self.used_today if capped and self.capped else NEVER
        parts: list[tuple[Grant, int]] = []
        for grant in sorted(usable, key=lambda g: (g.source == "PURCHASE", g.days, g.number)):
            part = min(amount, grant.remaining)
            if grant.source in DAILY_SOURCES:
                part = min(part, max(0, allowance))
                allowance -= part
            if part:
                parts.append((grant, part))
                amount -= part
        if amount:
            raise RefusedError("DAILY_LIMIT_REACHED")
        self.sweep()
        for grant, part in parts:
            grant.remaining -= part
            self.count(grant, part if capped else 0)
        return parts

    def count(self, grant: Grant, used: int) -> None:
        """Counts use against the day's cap, or takes it back."""
        if grant.source in DAILY_SOURCES:
            self.used_today += used

    def draw(self, amount: int) -> list[tuple[Grant, int]]:
        """What pays for a use: nothing of the wallet for the unlimited."""
        if self.unlimited:
            self.sweep()
            return []
        return self.take(amount, capped=True)

    def end(self, hold: Hold, captured: int) -> None:
        """Ends a hold: `captured` is spent, of the rest the last taken goes back first."""
        if not hold.is_open or captured > hold.amount:
            raise RefusedError("BAD_USER_INPUT")
        self.sweep()
        self.resolve(hold, captured)

    def resolve(self, hold: Hold, captured: int) -> None:
        """The same, whatever has expired."""
        back, kept = hold.amount - captured, []
        for grant, part in reversed(hold.parts):
            returned = min(part, back)
            grant.remaining += returned
            back -= returned
            if hold.day == self.day:
                self.count(grant, -returned)
            kept.append((grant, part - returned))
        hold.is_open = False
        if captured:
            parts = [(g, p) for g, p in reversed(kept) if p]
            self.spends.append(Spend(parts, captured, hold.day, hold.lived))

    def refund(self, spend: Spend, amount: int) -> None:
        """Gives back to the very grants, the last taken first; anew what has expired since."""
        if not 1 <= amount <= spend.left:
            raise RefusedError("BAD_USER_INPUT")
        self.sweep()
        spend.left -= amount
        while amount and spend.parts:
            grant, part = spend.parts.pop()
            returned = min(part, amount)
            amount -= returned
            if part > returned:
                spend.parts.append((grant, part - returned))
            if spend.day == self.day:
                self.count(grant, -returned)
            if grant.expired:
                self.give("REFUND", returned, spend.lived[grant.number])
            else:
                grant.remaining += returned

    def lives(self, later: float = 0.0) -> dict[int, float]:
        """How many days each grant has to live, now or a fraction of a day later."""
        return {grant.number: grant.days - later for grant in self.grants}

    def spend(self, amount: int, later: float) -> Spend:
        """Uses credits at once."""
        lived = self.lives(later)
        return Spend(self.draw(amount), amount, self.day, lived)

    def hold(self, amount: int, hours: int) -> Hold:
        """Reserves credits for some hours."""
        lived = self.lives()
        return Hold(amount, self.draw(amount), self.day, hours, lived)

    def sweep_holds(self) -> None:
        """Releases the holds whose time is over, then what has expired goes."""
        for hold in self.holds:
            if hold.is_open and hold.hours <= 0:
                self.end(hold, 0)
        self.sweep()

    def pass_days(self, days: int) -> None:
        """Lets days go by."""
        self.day += days
        self.used_today = 0
        for grant in self.grants:
            grant.days -= days if grant.days < NEVER / 2 else 0
        for hold in self.holds:
            hold.hours -= 24 * days

    def receive(self, parts: list[tuple[Grant, int]]) -> None:
        """Takes what another sent, with its source and its time."""
        self.sweep()
        for grant, part in parts:
            self.give(grant.source, part, grant.days)

    def merge_into(self, other: Wallet, held: list[Hold], bonus: int) -> list[Hold]:
        """Gives another everything, these holds too; returns the other's holds in their place.

        Of the bonus the other gets what is missing to all of it. More of it goes only where it is
        held, and is good for nothing else.
        """
        self.sweep()
        other.sweep()
        for hold in held:
            self.resolve(hold, 0)
        owed = max(0, bonus - sum(g.amount for g in other.grants if g.source == "SIGNUP_BONUS"))
        kept: dict[int, tuple[int, Grant | None, Grant | None]] = {}
        for grant in [g for g in self.grants if g.remaining]:
            for_work = sum(p for hold in held for g, p in hold.parts if g is grant)
            rest = grant.remaining - for_work
            of_work = for_work
            if grant.source == "SIGNUP_BONUS":
                of_work = min(for_work, owed)
                rest = min(rest, owed - of_work)
                owed -= of_work + rest
            free = other.give(grant.source, of_work + rest, grant.days) if of_work + rest else None
            only = other.give(grant.source, for_work - of_work, 0) if for_work > of_work else None
            kept[grant.number] = of_work, free, only
            grant.remaining = 0
        return [other.hold_again(hold, kept, self.day) for hold in held]

    def hold_again(
        self, hold: Hold, kept: dict[int, tuple[int, Grant | None, Grant | None]], today: int
    ) -> Hold:
        """A hold like another's, of the same credits where they are now."""
        again = Hold(hold.amount, [], hold.day, hold.hours, {})
        for grant, part in hold.parts:
            left, free, only = kept[grant.number]
            of_free = min(part, left)
            kept[grant.number] = left - of_free, free, only
            for place, taken, lived in (
                (free, of_free, hold.lived[grant.number]),
                (only, part - of_free, float(today - hold.day)),
            ):
                if place is not None and taken:
                    again.parts.append((place, taken))
                    again.lived[place.number] = lived
                    place.remaining -= taken
                    self.count(place, taken if hold.day == today else 0)
        self.holds.append(again)
        return again

    def figures(self) -> tuple[int, int]:
        """Balance and held."""
        held = sum(part for hold in self.holds if hold.is_open for _, part in hold.parts)
        return sum(grant.remaining for grant in self.grants) + held, held
