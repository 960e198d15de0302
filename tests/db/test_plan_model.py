"""Whatever the order of payments, changes, refunds and time: no more is given than was paid.

Each sequence runs in one transaction that is rolled back, each step under a savepoint. Time passes
by moving the timestamps of all rows back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
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

from .plans import MOVE_BACK
from .test_ledger_model import Books, profile

SEQUENCES, NIGHTLY_SEQUENCES = 25, 3_000
GRACE_DAYS = 7
# A plan for each rank: nothing, something, and more of it.
PLANS = ("free", "basic", "pro")
MONTHLY = {"free": 10, "basic": 40, "pro": 100}
REFUSED = {"INVALID_STATE", "PAYMENT_REQUIRED", "DAILY_LIMIT_REACHED", "INSUFFICIENT_CREDITS"}
MAKE_PLAN = """
insert into plans (id, name, monthly_credits, max_daily_credits, price_cents)
values ('basic', 'Basic', 40, 40, 400) on conflict do nothing
"""
MAKE_USER = """
with made as (
    insert into users (id, email, plan_id)
    values ($1::uuid, $1::text || '@example.test', 'free') returning id)
insert into wallets (user_id, plan_credits_due_at, plan_credits_anchor_at)
select id, now() + interval '20 days', now() - interval '10 days' from made
"""
MOVE_LEDGER_BACK = (
    "update wallets set daily_used_on = daily_used_on - extract(days from $2::interval)::integer"
    " where user_id = $1",
    "update credit_holds set expires_at = expires_at - $2::interval,"
    " created_at = created_at - $2::interval where user_id = $1",
    "update credit_transactions set created_at = created_at - $2::interval where user_id = $1",
)
# All that is compared after each step, in one row.
STATE = """
select (select coalesce(json_agg(json_build_object('id', p.id, 'plan', p.plan_id,
            'months', (select count(*) from plan_credits c where c.period_id = p.id),
            'most', (select coalesce(max(c.amount), 0) from plan_credits c where c.period_id = p.id),
            'credits', (select coalesce(sum(c.amount), 0) from plan_credits c where c.period_id = p.id)
       )), '[]') from plan_periods p where p.user_id = $1) as periods,
       (select coalesce(sum(t.amount), 0) from credit_transactions t
        where t.user_id = $1 and t.type = 'PLAN') as of_plans,
       (select coalesce(sum(t.amount), 0) from credit_transactions t
        where t.user_id = $1 and t.type = 'PLAN' and t.reference_id = 'free') as of_free,
       s.status, s.plan_id, s.current_period_end > now() as is_running, u.plan_id as of_user,
       (app.plan_period_at($1, now())).plan_id as paid,
       w.plan_credits_due_at > now() - interval '1 minute' as is_given
from users u left join plan_subscriptions s on s.user_id = u.id
join wallets w on w.user_id = u.id where u.id = $1
"""


class PlanMachine(RuleBasedStateMachine):
    """Pays, changes, returns and waits, and counts what was paid."""

    books: Books

    def __init__(self) -> None:
        super().__init__()
        self.books.begin()
        self.user = uuid4()
        self.books.rows(MAKE_PLAN)
        self.books.rows(MAKE_USER, self.user)
        # What was paid for: months of a plan, by the period.
        self.paid: dict[UUID, int] = {}
        self.references: dict[UUID, str] = {}
        self.days = 0

    def teardown(self) -> None:
        """The books are sound, but for what days that were skipped have left unswept."""
        try:
            found = self.books.rows(
                "select discrepancy from app.ledger_discrepancies($1)", [self.user]
            )
            assert [
                row["discrepancy"] for row in found if "outlived" not in row["discrepancy"]
            ] == []
        finally:
            self.books.roll_back()

    def attempt(self, sql: str, *arguments: Any) -> Any:
        """A step; nothing when it is refused for a reason that there may be."""
        found = self.books.attempt(self.user, sql, *arguments)
        assert not isinstance(found, BaseException), found
        return None if isinstance(found, str) and found in REFUSED else found

    def pay(self, plan: str, months: int, until: Any = None) -> None:
        reference = str(uuid4())
        period = self.attempt(
            "select app.start_plan($1, $2, $3, $4, $5)", self.user, plan, until, reference, months
        )
        if period is not None:
            self.paid[period] = months
            self.references[period] = reference

    @rule(plan=st.sampled_from(("basic", "pro")), months=st.sampled_from((1, 1, 1, 3)))
    def pays_months(self, plan: str, months: int) -> None:
        """A payment of whole months."""
        self.pay(plan, months)

    @rule()
    def pays_an_upgrade(self) -> None:
        """A payment of what the dearest plan costs for the rest of the period."""
        (quote,) = self.books.rows("select * from app.quote_plan($1, 'pro')", self.user)
        if quote["kind"] == "UPGRADE":
            months = -(-quote["months"] // 1) + 1
            self.pay("pro", int(months), quote["paid_until"])

    @rule(days=st.integers(1, 40))
    def pays_a_providers_days(self, days: int) -> None:
        """A payment up to a day that the provider says."""
        until = self.books.rows("select now() + $1::interval as then", timedelta(days=days))
        self.pay("pro", days // 25 + 1, until[0]["then"])

    @precondition(lambda self: self.references)
    @rule(choice=st.integers(0, 9))
    def is_told_again(self, choice: int) -> None:
        """A webhook comes again."""
        period = list(self.references)[choice % len(self.references)]
        again = self.attempt(
            "select app.start_plan($1, 'pro', null, $2)", self.user, self.references[period]
        )
        assert again == period

    @precondition(lambda self: self.references)
    @rule(choice=st.integers(0, 9))
    def is_refunded(self, choice: int) -> None:
        """A payment goes back, perhaps again."""
        period = list(self.references)[choice % len(self.references)]
        used = self.attempt("select app.end_plan($1, $2)", self.user, self.references[period])
        given = {UUID(row["id"]): row["credits"] for row in self.state()["periods"]}
        assert 0 <= used <= given[period]

    @rule(plan=st.sampled_from(PLANS))
    def changes(self, plan: str) -> None:
        """The user chooses a plan."""
        self.attempt("select app.change_plan($1)", plan)

    @rule()
    def cancels(self) -> None:
        """The user cancels."""
        self.attempt("select app.cancel_plan()")

    @rule(amount=st.integers(1, 60))
    def spends(self, amount: int) -> None:
        """The user spends, if they can."""
        self.attempt("select app.spend_credits($1, 'test', null, $2)", amount, str(uuid4()))

    @rule(amount=st.integers(1, 20))
    def holds(self, amount: int) -> None:
        """Work begins that comes to nothing a day later."""
        self.attempt("select app.hold_credits($1, $2, 'test', interval '1 day')", self.user, amount)

    @rule(days=st.sampled_from((1, 5, 14, 27, 33, 70)))
    def days_pass(self, days: int) -> None:
        """Time passes, and nobody looks."""
        self.days += days
        self.books.replaced(
            (*MOVE_BACK, *MOVE_LEDGER_BACK), self.user, timedelta(days=days, seconds=1)
        )

    @rule()
    def clock_sweeps(self) -> None:
        """What the schedule does every few minutes, in any order."""
        self.attempt("select app.expire_holds($1)", self.user)
        self.attempt("select app.grant_plan_credits($1)", self.user)
        self.attempt("select app.settle_plan($1, make_interval(days => $2))", self.user, GRACE_DAYS)
        self.attempt("select app.settle_plan($1, make_interval(days => $2))", self.user, GRACE_DAYS)
        self.attempt("select app.grant_plan_credits($1)", self.user)
        state = self.state()
        assert state["is_given"] or state["status"] == "PAST_DUE"
        assert state["status"] not in ("ACTIVE", "CANCELLING") or state["is_running"]

    @invariant()
    def what_is_given_was_paid(self) -> None:
        """No period gives more months than it has, nor more in one; plans that are free farm none.

        Who has a plan has paid for it, or is to pay for it within the grace.
        """
        state = self.state()
        for row in state["periods"]:
            assert row["months"] <= self.paid[UUID(row["id"])]
            assert row["most"] <= MONTHLY[row["plan"]]
        assert state["of_free"] <= MONTHLY["free"] * (self.days // 28 + 1)
        of_periods = sum(row["credits"] for row in state["periods"])
        assert state["of_plans"] == state["of_free"] + of_periods
        if state["status"] in (None, "ENDED"):
            assert (state["of_user"], state["paid"]) == ("free", None)
        else:
            assert state["of_user"] == state["plan_id"]
            if state["is_running"] and state["status"] != "PAST_DUE":
                assert state["paid"] is not None

    def state(self) -> dict[str, Any]:
        """What the database has of the user."""
        (row,) = self.books.rows(STATE, self.user)
        return dict(row) | {"periods": json.loads(row["periods"])}


@pytest.fixture
def machine(cluster: EmbeddedDatabase, database: Database) -> Iterator[type[PlanMachine]]:
    """The machine over the test database."""
    books = Books(cluster.superuser_url)
    yield type("PlanMachine", (PlanMachine,), {"books": books})
    books.close()


def test_a_refund_of_what_was_upgraded_gives_no_second_month(machine: type[PlanMachine]) -> None:
    sequence = machine()
    try:
        sequence.pays_months("basic", 1)
        sequence.days_pass(1)
        sequence.pays_a_providers_days(1)
        sequence.is_refunded(0)
        sequence.what_is_given_was_paid()
    finally:
        sequence.teardown()


def test_no_sequence_gives_more_than_was_paid(machine: type[PlanMachine]) -> None:
    run_state_machine_as_test(machine, settings=profile(SEQUENCES))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_no_sequence_gives_more_than_was_paid_for_long(machine: type[PlanMachine]) -> None:
    run_state_machine_as_test(machine, settings=profile(NIGHTLY_SEQUENCES))
