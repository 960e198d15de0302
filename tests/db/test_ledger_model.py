"""Whatever the order of grants, holds, captures, releases and spends, a simple model agrees."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from db.actor import SERVICE, Actor
from db.embedded import EmbeddedDatabase
from db.pool import Database

from .ledger import Ledger, refusal

NEVER_DAYS = 10_000
Step = tuple[str, int, int]


class RefusedError(Exception):
    """The model refuses a step; the code is the message."""


@dataclass
class Grant:
    """Credits of one source; `days` until they expire, 0 when they have."""

    purchased: bool
    days: int
    remaining: int
    position: int


@dataclass
class Model:
    """What a wallet should hold, in the plainest words."""

    grants: list[Grant] = field(default_factory=list)
    # The parts of each hold, each the position of a grant and an amount; empty once it ended.
    holds: list[list[tuple[int, int]]] = field(default_factory=list)

    def sweep(self) -> None:
        """What has expired is gone before anything else happens."""
        for grant in self.grants:
            if grant.days == 0:
                grant.remaining = 0

    def take(self, amount: int) -> list[tuple[int, int]]:
        """Takes credits in their order of use, or refuses and leaves what has expired as it was."""
        usable = [grant for grant in self.grants if grant.days]
        if sum(grant.remaining for grant in usable) < amount:
            raise RefusedError("INSUFFICIENT_CREDITS")
        self.sweep()
        parts: list[tuple[int, int]] = []
        for grant in sorted(usable, key=lambda g: (g.purchased, g.days, g.position)):
            part = min(grant.remaining, amount)
            if part:
                grant.remaining -= part
                amount -= part
                parts.append((grant.position, part))
        return parts

    def end(self, number: int, captured: int) -> None:
        """Ends a hold: `captured` is spent, the last taken of the rest goes back first."""
        parts = self.holds[number]
        held = sum(part for _, part in parts)
        if not parts or captured > held:
            raise RefusedError("BAD_USER_INPUT")
        self.sweep()
        back = held - captured
        for position, part in reversed(parts):
            returned = min(part, back)
            self.grants[position].remaining += returned
            back -= returned
        self.holds[number] = []

    def wallet(self) -> tuple[int, int]:
        """Balance and held."""
        held = sum(part for parts in self.holds for _, part in parts)
        return sum(grant.remaining for grant in self.grants) + held, held


@dataclass
class Both:
    """The ledger and its model, taking the same steps."""

    ledger: Ledger
    actor: Actor
    model: Model = field(default_factory=Model)
    holds: list[UUID] = field(default_factory=list)

    async def take(self, step: Step) -> None:
        """Takes a step on both, and compares what they answer and hold."""
        outcomes: list[object] = []
        for attempt in (self.expect, self.do):
            try:
                await attempt(*step)
                outcomes.append("done")
            except (RefusedError, asyncpg.PostgresError) as error:
                refused = str(error) if isinstance(error, RefusedError) else refusal(error)
                outcomes.append(refused)
        assert outcomes[0] == outcomes[1], step
        assert await self.ledger.wallet(self.actor) == self.model.wallet()
        remaining = [grant.remaining for grant in self.model.grants]
        assert await self.ledger.remaining(self.actor) == remaining
        await self.ledger.assert_sound(self.actor)

    async def expect(self, verb: str, amount: int, choice: int) -> None:
        """The step on the model."""
        model = self.model
        if verb in ("plan", "purchase"):
            model.sweep()
            days = choice or NEVER_DAYS
            model.grants.append(Grant(verb == "purchase", days, amount, len(model.grants)))
        elif verb == "hold":
            model.holds.append(model.take(amount))
        elif verb == "spend":
            model.take(amount)
        elif verb in ("capture", "release") and model.holds:
            model.end(choice % len(model.holds), amount if verb == "capture" else 0)
        elif verb == "time passes" and model.grants:
            model.grants[choice % len(model.grants)].days = 0

    async def do(self, verb: str, amount: int, choice: int) -> None:
        """The step on the ledger."""
        ledger, actor = self.ledger, self.actor
        if verb in ("plan", "purchase"):
            await ledger.grant(actor, amount, verb.upper(), days=choice or None)
        elif verb == "hold":
            self.holds.append(await ledger.hold(actor, amount))
        elif verb == "spend":
            await ledger.spend(actor, amount)
        elif verb == "capture" and self.holds:
            await ledger.capture(self.holds[choice % len(self.holds)], amount)
        elif verb == "release" and self.holds:
            await ledger.release(self.holds[choice % len(self.holds)])
        elif verb == "time passes":
            await self.expire_one(choice)

    async def expire_one(self, choice: int) -> None:
        """Lets the time of one grant be over."""
        await self.ledger.owner.execute(
            "update credit_grants set expires_at = now() - interval '1 second' where id = ("
            " select (array_agg(id order by created_at))[$2 % count(*) + 1]"
            " from credit_grants where user_id = $1)",
            self.actor.user_id,
            choice,
        )


# Holds and their ends come more often: most of what can go wrong lies between them.
VERBS = (
    *("hold", "hold", "hold", "capture", "capture", "release", "spend"),
    *("plan", "purchase", "time passes"),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(1, 8), st.integers(0, 4)),
    min_size=8,
    max_size=20,
)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
async def test_the_ledger_agrees_with_its_model(
    cluster: EmbeddedDatabase, database: Database, steps: list[Step]
) -> None:
    actor = Actor("authenticated", uuid4())
    async with database.transaction(SERVICE) as transaction:
        await transaction.execute(
            text("insert into users (id, is_anonymous) values (:id, true)"), id=actor.user_id
        )
    owner = await asyncpg.connect(cluster.owner_url)
    try:
        both = Both(Ledger(database, owner), actor)
        for step in [("purchase", 9, 1), ("plan", 3, 2), ("plan", 3, 0), ("plan", 3, 4), *steps]:
            await both.take(step)
    finally:
        await owner.close()
