"""Whatever the order of everything that can happen to credits, a plain model agrees with the ledger.

Each sequence runs in one transaction that is rolled back, each step under a savepoint, so that a
refusal undoes the step and nothing else. Time passes by moving the timestamps of all rows back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase

from .ledger import refusal
from .ledger_model import DAILY_LIMIT, NEVER, Hold, RefusedError, Spend, Wallet
from .ledger_seeds import SEEDS

SEQUENCES, NIGHTLY_SEQUENCES, STEPS = 120, 10_000, 12
SAID_EVERY = 1_000
# The clock runs on within a transaction, though `now()` does not: each spend is a little later.
MOMENT_DAYS = 1e-4

MAKE_USERS = f"""
with made as (
    insert into users (id, is_anonymous) select u, true from unnest($1::uuid[]) u returning id)
insert into plans (id, name, monthly_credits, max_daily_credits)
values ('model', 'model', 10, {DAILY_LIMIT}) on conflict do nothing
"""
# Grants of one transaction have one `created_at`; here they come one after the other.
TELL_GRANTS_APART = """
update credit_grants g set created_at = now() + interval '1 microsecond' * (
    select min(e.id) from credit_entries e where e.grant_id = g.id)
where g.user_id = any ($1) and g.created_at = now()
"""
MOVE_BACK = (
    "update wallets set daily_used_on = daily_used_on - $2::integer where user_id = any ($1)",
    "update credit_grants set expires_at = expires_at - make_interval(days => $2)"
    " where user_id = any ($1)",
    "update credit_holds set expires_at = expires_at - make_interval(days => $2),"
    " created_at = created_at - make_interval(days => $2) where user_id = any ($1)",
    "update credit_transactions set created_at = created_at - make_interval(days => $2)"
    " where user_id = any ($1)",
)
OPEN_HOLDS = """
select id from credit_holds where user_id = $1 and status = 'OPEN' order by created_at, id
"""
# In the order in which they were made.
NEW_HOLDS = """
select e.hold_id from credit_entries e join credit_holds h on h.id = e.hold_id
where h.user_id = $1 and h.id <> all ($2) group by e.hold_id order by min(e.id)
"""
WALLETS = """
select w.balance, w.held,
    case when w.daily_used_on = (now() at time zone 'UTC')::date then w.daily_used else 0 end
        as used_today,
    array(
    select g.remaining from credit_grants g where g.user_id = w.user_id and g.remaining > 0
    order by g.source, g.remaining) as grants
from wallets w where user_id = any ($1) order by array_position($1, user_id)
"""


class Books:
    """A superuser's connection with a loop of its own, and the transaction of one sequence."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = self._wait(asyncpg.connect(url))
        self._wait(self._connection.execute("set timezone = 'UTC'"))
        self.users: list[UUID] = []
        self.sequences = self.steps = 0

    def _wait[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        """Ends the connection and the loop."""
        self._wait(self._connection.close())
        self._loop.close()

    def begin(self) -> None:
        """A new transaction with two users in it."""
        self._wait(self._connection.execute("begin"))
        self.sequences += 1
        self.users = [uuid4(), uuid4()]
        self.rows(MAKE_USERS, self.users)

    def roll_back(self) -> None:
        """Undoes the sequence."""
        self._wait(self._connection.execute("rollback"))

    def rows(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Runs a statement as it is."""
        return list(self._wait(self._connection.fetch(sql, *arguments)))

    def attempt(self, user: UUID, sql: str, *arguments: Any) -> Any:
        """What a function returns, called for a user, or the code it refuses with, undone."""
        return self._wait(self._attempt(user, sql, arguments))

    async def _attempt(self, user: UUID, sql: str, arguments: tuple[Any, ...]) -> Any:
        self.steps += 1
        claim = f"select set_config('app.user_id', '{user}', true)"
        await self._connection.execute(f"savepoint step; {claim}")
        try:
            return await self._connection.fetchval(sql, *arguments)
        except asyncpg.PostgresError as error:
            await self._connection.execute("rollback to savepoint step")
            return refusal(error)

    def move_back(self, days: int) -> None:
        """Lets everything have happened earlier, also what no function could change."""
        self.replaced(MOVE_BACK, self.users, days)

    def replaced(self, statements: tuple[str, ...], *arguments: Any) -> None:
        """Runs statements past the triggers that would refuse them."""
        self._wait(self._connection.execute("set local session_replication_role = replica"))
        for sql in statements:
            self.rows(sql, *arguments)
        self._wait(self._connection.execute("set local session_replication_role = origin"))


AMOUNTS, WHO, CHOICE = st.integers(1, 8), st.integers(0, 1), st.integers(0, 9)


class LedgerMachine(RuleBasedStateMachine):
    """Does the same to the ledger and to the model, and compares them after every step."""

    books: Books
    say: Callable[[str], None] = print

    def __init__(self) -> None:
        super().__init__()
        self.books.begin()
        if self.books.sequences % SAID_EVERY == 0:
            type(self).say(f"{self.books.sequences} sequences, {self.books.steps} steps")
        self.wallets = [Wallet(), Wallet()]
        self.holds: list[tuple[int, Hold, UUID]] = []
        self.spends: list[tuple[int, Spend, UUID]] = []
        self.keys: dict[tuple[int, int], tuple[int, UUID]] = {}
        for who in (0, 1):
            self.grant(who, "PLAN", 9, 2)
            self.grant(who, "PURCHASE", 4, NEVER)
            self.switch_plan(who)

    def teardown(self) -> None:
        """The books are sound, apart from what days that were skipped have left unswept."""
        try:
            found = self.books.rows(
                "select discrepancy from app.ledger_discrepancies($1)", self.books.users
            )
            assert [
                row["discrepancy"] for row in found if "outlived" not in row["discrepancy"]
            ] == []
        finally:
            self.books.roll_back()

    def both(self, model: Callable[[], Any], who: int, sql: str, *arguments: Any) -> Any:
        """The step on both: what both gave, or nothing when both refused with one code."""
        try:
            expected, refused = model(), None
        except RefusedError as error:
            expected, refused = None, str(error)
        found = self.books.attempt(self.books.users[who], sql, *arguments)
        if refused is None:
            assert not isinstance(found, str | BaseException), found
            return expected, found
        assert found == refused
        return None

    @rule(
        who=WHO,
        source=st.sampled_from(["PLAN", "SIGNUP_BONUS", "PURCHASE", "ADMIN"]),
        amount=AMOUNTS,
        days=st.sampled_from([1, 2, 3, 30, NEVER]),
    )
    def grant(self, who: int, source: str, amount: int, days: int) -> None:
        """Credits from one source."""
        wallet = self.wallets[who]

        def model() -> None:
            wallet.sweep()
            wallet.give(source, amount, days)

        sql = (
            "select app.grant_credits($1, $2, $3, null,"
            f" case when $4 < {NEVER} then now() + make_interval(days => $4) end)"
        )
        self.both(model, who, sql, self.books.users[who], source, amount, days)
        self.books.rows(TELL_GRANTS_APART, self.books.users)

    @rule(who=WHO, amount=AMOUNTS, key=st.integers(0, 30))
    def spend(self, who: int, amount: int, key: int) -> None:
        """Use at once, under a key that may have been used before."""
        wallet, known = self.wallets[who], self.keys.get((who, key))

        def model() -> Spend | None:
            if known is None:
                return wallet.spend(amount, MOMENT_DAYS * (len(self.spends) + 1))
            if known[0] != amount:
                raise RefusedError("IDEMPOTENCY_CONFLICT")
            wallet.sweep()
            return None

        sql = "select app.spend_credits($1, 'test', null, $2)"
        if done := self.both(model, who, sql, amount, f"key {key}"):
            if known is None:
                self.spends.append((who, *done))
                self.keys[who, key] = (amount, done[1])
            else:
                assert done[1] == known[1]

    @rule(who=WHO, amount=AMOUNTS, hours=st.sampled_from([0, 1, 30]))
    def hold(self, who: int, amount: int, hours: int) -> None:
        """A reservation."""
        wallet = self.wallets[who]
        sql = "select app.hold_credits($1, $2, 'test', make_interval(hours => $3))"
        user = self.books.users[who]
        done = self.both(lambda: wallet.hold(amount, hours), who, sql, user, amount, hours)
        if done:
            wallet.holds.append(done[0])
            self.holds.append((who, *done))

    @precondition(lambda self: self.holds)
    @rule(choice=CHOICE, amount=AMOUNTS)
    def capture(self, choice: int, amount: int) -> None:
        """Some of a hold is spent, late or not."""
        who, hold, key = self.holds[choice % len(self.holds)]
        end, sql = self.wallets[who].end, "select app.capture_hold($1, $2)"
        if done := self.both(lambda: end(hold, amount), who, sql, key, amount):
            self.spends.append((who, self.wallets[who].spends[-1], done[1]))

    @precondition(lambda self: self.holds)
    @rule(choice=CHOICE)
    def release(self, choice: int) -> None:
        """A hold comes to nothing."""
        who, hold, key = self.holds[choice % len(self.holds)]
        self.both(lambda: self.wallets[who].end(hold, 0), who, "select app.release_hold($1)", key)

    @precondition(lambda self: self.spends)
    @rule(choice=CHOICE, amount=AMOUNTS)
    def refund(self, choice: int, amount: int) -> None:
        """Some of a spend or a capture is given back."""
        who, spend, key = self.spends[choice % len(self.spends)]
        back, sql = self.wallets[who].refund, "select app.refund_credits($1, $2, 'test', $3)"
        self.both(lambda: back(spend, amount), who, sql, key, amount, str(uuid4()))
        self.books.rows(TELL_GRANTS_APART, self.books.users)

    @rule(sender=WHO, amount=AMOUNTS)
    def transfer(self, sender: int, amount: int) -> None:
        """Credits of one for the other."""
        one, other = self.wallets[sender], self.wallets[1 - sender]
        users = (self.books.users[sender], self.books.users[1 - sender])
        sql = "select app.transfer_credits($1, $2, $3, 'test', $4)"

        def model() -> None:
            other.receive(one.take(amount, capped=False))

        self.both(model, sender, sql, *users, amount, str(uuid4()))
        self.books.rows(TELL_GRANTS_APART, self.books.users)

    @rule(guest=WHO)
    def merge(self, guest: int) -> None:
        """All credits of one go to the other, those under way too."""
        users = (self.books.users[guest], self.books.users[1 - guest])
        known = {key: hold for _, hold, key in self.holds}
        held = [known[row["id"]] for row in self.books.rows(OPEN_HOLDS, users[0])]
        bonus = self.books.rows("select bonus_credits from sign_up_terms")[0]["bonus_credits"]
        one, other = self.wallets[guest], self.wallets[1 - guest]

        def model() -> list[Hold]:
            return one.merge_into(other, held, bonus)

        again, _ = self.both(model, guest, "select app.merge_wallets($1, $2)", *users)
        made = self.books.rows(NEW_HOLDS, users[1], list(known))
        self.holds += [
            (1 - guest, hold, row["hold_id"]) for hold, row in zip(again, made, strict=True)
        ]
        self.books.rows(TELL_GRANTS_APART, self.books.users)

    @rule(days=st.integers(1, 2))
    def days_pass(self, days: int) -> None:
        """Grants and holds run out, the cap begins anew."""
        for wallet in self.wallets:
            wallet.pass_days(days)
        self.books.move_back(days)

    @rule()
    def clock_sweeps(self) -> None:
        """What the schedule does every minute."""
        for wallet in self.wallets:
            wallet.sweep_holds()
        for function in ("expire_holds", "lock_wallet"):
            self.books.rows(f"select app.{function}(u) from unnest($1::uuid[]) u", self.books.users)

    @rule(who=WHO)
    def switch_unlimited(self, who: int) -> None:
        """A user may spend without debit, or no longer."""
        self.wallets[who].unlimited ^= True
        sql = "update wallets set unlimited = not unlimited where user_id = $1"
        self.books.rows(sql, self.books.users[who])

    @rule(who=WHO)
    def switch_plan(self, who: int) -> None:
        """A user comes under a plan's cap, or from under it."""
        self.wallets[who].capped ^= True
        plan = "model" if self.wallets[who].capped else None
        self.books.rows("update users set plan_id = $2 where id = $1", self.books.users[who], plan)

    @invariant()
    def wallets_agree(self) -> None:
        """Balance, held, what counts against today's cap, and what each grant has left."""
        rows = self.books.rows(WALLETS, self.books.users)
        for row, wallet in zip(rows, self.wallets, strict=True):
            assert (row["balance"], row["held"]) == wallet.figures()
            assert row["used_today"] == wallet.used_today
            left = sorted((grant.source, grant.remaining) for grant in wallet.grants)
            assert row["grants"] == [remaining for _, remaining in left if remaining]


@pytest.fixture
def machine(
    cluster: EmbeddedDatabase, database: Database, say: Callable[[str], None]
) -> Iterator[type[LedgerMachine]]:
    """The machine over the test database."""
    books = Books(cluster.superuser_url)
    yield type("LedgerMachine", (LedgerMachine,), {"books": books, "say": staticmethod(say)})
    books.close()


def profile(sequences: int) -> settings:
    """So many sequences, however long each takes."""
    return settings(
        max_examples=sequences,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def test_the_ledger_agrees_with_its_model(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(machine, settings=profile(SEQUENCES))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_ledger_agrees_with_its_model_for_long(
    machine: type[LedgerMachine], say: Callable[[str], None]
) -> None:
    started = time.monotonic()
    run_state_machine_as_test(machine, settings=profile(NIGHTLY_SEQUENCES))
    books, seconds = machine.books, time.monotonic() - started
    assert books.sequences >= NIGHTLY_SEQUENCES
    say(
        f"The ledger and its model agreed in {books.sequences} sequences of {books.steps} steps,"
        f" in {seconds:.0f} s"
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sequence_that_once_failed_does_not_again(
    machine: type[LedgerMachine], seed: str
) -> None:
    both = machine()
    try:
        both.wallets_agree()
        for step, arguments in SEEDS[seed]:
            getattr(both, step)(**arguments)
            both.wallets_agree()
    finally:
        both.teardown()
