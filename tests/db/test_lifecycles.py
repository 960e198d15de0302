"""Each declared lifecycle is what the database allows: every state and every change is tried."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count, product
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text

from cli.core.lifecycles import DOCUMENT, lifecycles_text
from db.accounts.tables import UserStatus
from db.analyses.tables import AnalysisStatus
from db.billing.tables import DisputeStatus, RefundRequestStatus
from db.campaigns.tables import ContactListStatus
from db.chat.tables import ChatMessageStatus, ChatRole
from db.core.errors import DomainError, ErrorCode
from db.core.lifecycles import (
    ALWAYS,
    Lifecycle,
    State,
    declare_lifecycle,
    invalid_state,
    lifecycle_statements,
    set_once,
)
from db.core.pool import Database
from db.core.registry import models
from db.credits.tables import HoldStatus
from db.emails.tables import EmailStatus
from db.embedded.database import EmbeddedDatabase
from db.generations.tables import CircuitState, GenerationStatus
from db.leaving.tables import ExportStatus
from db.licences.tables import LicenceStatus
from db.marketplace.tables import ProductFileStatus
from db.plans.tables import PlanSubscriptionStatus
from db.play.tables import PlayPlayerStatus, PlaySessionStatus
from db.push.tables import PushStatus
from db.referrals.tables import ReferralStatus
from db.runs.tables import ENDS
from db.subscriptions.tables import ProviderSubscriptionStatus
from db.surveys.tables import SurveyRunStatus
from db.sync.tables import SyncConflictStatus
from db.uploads.tables import UploadStatus
from db.whitelists.tables import WhitelistUserStatus
from db.workflows.tables import WorkflowStatus
from graph.engine.declare import state_enum
from tests.running import ROOT

from ..rows import FIRST, LATER, NEWCOMER, SECOND, Row, known_id
from .rows import MAKERS, fill, insert_sql, literal

LIFECYCLES = {name: model.lifecycle for name, model in models().items() if model.lifecycle}
CONDITIONAL = [
    name
    for name, lifecycle in LIFECYCLES.items()
    if any(
        target.condition != ALWAYS
        for state in lifecycle.states
        for target in (*lifecycle.targets(state), *lifecycle.beginnings())
    )
]
numbers = count(1)


def new_hold(user: UUID, key: UUID) -> Row:
    """A hold without the movement that makes one."""
    return {"id": key, "user_id": user, "amount": 1, "expires_at": LATER}


# What a row has beside its state, by table, where the state asks for it.
BESIDE: dict[str, Callable[[State], Row]] = {
    "credit_holds": lambda state: {"resolved_at": None if state is HoldStatus.OPEN else LATER},
    "data_exports": lambda state: {
        "path": "path" if state is ExportStatus.READY else None,
        "attempts": next(numbers),
    },
    "emails": lambda state: (
        {"ended_at": None, "recipient": "ada@example.test"}
        if state in (EmailStatus.QUEUED, EmailStatus.SENDING)
        else {"ended_at": LATER, "recipient": None}
    ),
    "sync_conflicts": lambda state: (
        {"resolved_at": LATER, "kept": "LOST"}
        if state is SyncConflictStatus.RESOLVED
        else {"resolved_at": None, "kept": None}
    ),
    # The first user has a row of one partner already.
    "partners": lambda _: {"partner_id": NEWCOMER.user_id},
    "provider_subscriptions": lambda state: {
        "user_id": NEWCOMER.user_id,
        "grace_ends_at": LATER if state is ProviderSubscriptionStatus.PAST_DUE else None,
    },
    "payment_disputes": lambda state: {"closed_at": None if state is DisputeStatus.OPEN else LATER},
    "refund_requests": lambda state: {
        "ended_at": None if state is RefundRequestStatus.REQUESTED else LATER
    },
    # Nobody comes by their own code, and everybody by one.
    "referrals": lambda state: {
        "referrer_id": SECOND.user_id,
        "referee_id": NEWCOMER.user_id,
        "ended_at": None if state is ReferralStatus.PENDING else LATER,
    },
    "ai_runs": lambda _: {"attempts": next(numbers)},
    "chat_messages": lambda state: {
        "role": ChatRole.ASSISTANT,
        "error_code": "INTERNAL" if state is ChatMessageStatus.FAILED else None,
    },
    "profile_analyses": lambda state: {
        "error_code": "INTERNAL" if state is AnalysisStatus.FAILED else None,
        "result": "{}" if state is AnalysisStatus.SUCCEEDED else None,
    },
    "play_sessions": lambda state: {
        "ended_at": None
        if state in (PlaySessionStatus.WAITING, PlaySessionStatus.ACTIVE)
        else LATER,
        "version": next(numbers),
        "turn_count": next(numbers),
    },
    "play_players": lambda state: {
        "user_id": None if state is PlayPlayerStatus.PRESENT else AS_IT_IS,
    },
    "plan_subscriptions": lambda state: {
        "ended_at": LATER if state is PlanSubscriptionStatus.ENDED else None,
        "grace_ends_at": LATER if state is PlanSubscriptionStatus.PAST_DUE else None,
    },
    "push_deliveries": lambda state: {
        "ended_at": None if state in (PushStatus.QUEUED, PushStatus.SENDING) else LATER
    },
    # The first user has one in progress of their own survey.
    "survey_runs": lambda state: {
        "survey_id": known_id(SECOND.user_id, "public.surveys"),
        "ended_at": None if state is SurveyRunStatus.IN_PROGRESS else LATER,
    },
    "generations": lambda state: {
        "error_code": "INTERNAL" if state is GenerationStatus.FAILED else None,
        "attempts": next(numbers),
        "from_cache": True,
    },
    "provider_circuits": lambda state: {
        "retry_at": None if state is CircuitState.CLOSED else LATER
    },
    "uploads": lambda state: {
        "rejected_code": "INVALID_IMAGE" if state is UploadStatus.REJECTED else None,
        **dict.fromkeys(("original_sha256", "stored_content_type"), "known"),
        **dict.fromkeys(("width_pixels", "height_pixels", "size_bytes"), 1),
    },
    "users": lambda _: {"is_anonymous": True},
    "campaign_contacts": lambda _: {"calls": next(numbers)},
    "contact_lists": lambda state: {
        "path": "path" if state is ContactListStatus.READY else None,
    },
    "product_files": lambda state: {
        "path": "path" if state is ProductFileStatus.READY else None,
    },
    "licences": lambda state: {
        "redeemed_at": LATER if state is LicenceStatus.REDEEMED else AS_IT_IS,
        "banned_at": LATER if state is LicenceStatus.BANNED else None,
        "banned_from": LicenceStatus.AVAILABLE if state is LicenceStatus.BANNED else None,
    },
    "whitelist_users": lambda state: {
        "banned_at": LATER if state is WhitelistUserStatus.BANNED else None,
    },
    "affiliate_referrals": lambda _: {"sale_id": known_id(SECOND.user_id, "public.sales")},
    # The first user has taken the product already.
    "sales": lambda _: {"buyer_id": None},
    "workflow_runs": lambda state: {"ended_at": LATER if state in ENDS else None},
    "workflows": lambda state: {"published_at": LATER if state is WorkflowStatus.ACTIVE else None},
}
# What breaks every condition of a table's lifecycle; a column may be left as it is.
AS_IT_IS = object()
UNMET: dict[str, Row] = {
    "ai_runs": {"attempts": AS_IT_IS},
    "data_exports": {"attempts": AS_IT_IS},
    "generations": {"attempts": AS_IT_IS, "from_cache": False},
    "users": {"is_anonymous": False},
}


@pytest.fixture
async def owner(cluster: EmbeddedDatabase, database: Database) -> AsyncIterator[asyncpg.Connection]:
    """The owner of a database with a row in every table, in a transaction that is rolled back."""
    connection = await asyncpg.connect(cluster.owner_url)
    transaction = connection.transaction()
    await transaction.start()
    await fill(connection)
    # A sale has one commission: the second user's makes room for what is tried.
    await connection.execute("delete from affiliate_referrals where user_id = $1", SECOND.user_id)
    yield connection
    await transaction.rollback()
    await connection.close()


@dataclass
class Subject:
    """A row of a table with a lifecycle, that can be made and changed."""

    owner: asyncpg.Connection
    table: str
    key: object = None

    @property
    def lifecycle(self) -> Lifecycle:
        """The lifecycle of its table."""
        return LIFECYCLES[self.table]

    @property
    def identity(self) -> str:
        """The column of its primary key."""
        (identity,) = models()[self.table].metadata.tables[self.table].primary_key
        return identity.name

    def columns(self, state: State, others: Row) -> Row:
        """What puts the row into a state."""
        value: object = state
        if self.lifecycle.dated:
            first, _ = self.lifecycle.states
            value = None if state is first else LATER + timedelta(days=next(numbers))
        beside = BESIDE[self.table](state) if self.table in BESIDE else {}
        row = {self.lifecycle.column: value, **beside, **others}
        return {column: value for column, value in row.items() if value is not AS_IT_IS}

    async def begin(self, state: State, **others: object) -> None:
        """Inserts the row."""
        self.key, user = uuid4(), FIRST.user_id
        assert user
        make = MAKERS.get(f"public.{self.table}", new_hold)
        row = make(user, self.key) | self.columns(state, others)
        # Of a table with one row for each user, the one that every test has makes room.
        self.key = row.get(self.identity, self.key)
        forget = f"delete from {self.table} where {self.identity} = {literal(self.key)}"
        await self.owner.execute(forget)
        await self.owner.execute(insert_sql(self.table, row))

    async def go(self, state: State, **others: object) -> None:
        """Changes the row's state."""
        row = self.columns(state, others)
        changes = ", ".join(f"{column} = {literal(value)}" for column, value in row.items())
        sql = f"update {self.table} set {changes} where {self.identity} = {literal(self.key)}"
        assert await self.owner.execute(sql) == "UPDATE 1"

    async def walk(self, state: State) -> None:
        """Makes the row and brings it to a state, by lawful changes."""
        start, *way = ways(self.lifecycle)[state]
        await self.begin(start)
        for step in way:
            await self.go(step)


def ways(lifecycle: Lifecycle) -> dict[State, list[State]]:
    """A way to each state, from where a row begins."""
    found = {target.state: [target.state] for target in lifecycle.beginnings()}
    while fresh := {
        target.state: [*way, target.state]
        for state, way in found.items()
        for target in lifecycle.targets(state)
        if target.state not in found
    }:
        found |= fresh
    return found


@asynccontextmanager
async def undone(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """A block whose changes are undone."""
    savepoint = owner.transaction()
    await savepoint.start()
    try:
        yield
    finally:
        await savepoint.rollback()


async def refused(work: Awaitable[None]) -> bool:
    """Whether a lifecycle refuses what is done; nothing else may."""
    try:
        await work
    except asyncpg.CheckViolationError as error:
        if not str(error.constraint_name).startswith("lifecycle_"):
            raise
        return True
    return False


@pytest.mark.parametrize("table", LIFECYCLES)
async def test_a_row_begins_and_goes_where_its_lifecycle_says_and_nowhere_else(
    owner: asyncpg.Connection, table: str
) -> None:
    lifecycle = LIFECYCLES[table]
    begins = {target.state for target in lifecycle.beginnings()}
    assert ways(lifecycle).keys() == set(lifecycle.states)
    for state in lifecycle.states:
        async with undone(owner):
            assert await refused(Subject(owner, table).begin(state)) is (state not in begins), state
    for before, after in product(lifecycle.states, repeat=2):
        async with undone(owner):
            subject = Subject(owner, table)
            await subject.walk(before)
            lawful = {target.state for target in lifecycle.targets(before)}
            if not lifecycle.dated or before in begins:
                lawful.add(before)
            is_refused = await refused(subject.go(after))
            assert is_refused is (after not in lawful), f"{before} to {after}"


@pytest.mark.parametrize("table", CONDITIONAL)
async def test_a_condition_that_is_not_met_refuses(owner: asyncpg.Connection, table: str) -> None:
    lifecycle, unmet = LIFECYCLES[table], UNMET[table]
    for target in lifecycle.beginnings():
        async with undone(owner):
            is_refused = await refused(Subject(owner, table).begin(target.state, **unmet))
            assert is_refused is (target.condition != ALWAYS), f"begin {target.state}"
    for before in lifecycle.states:
        for target in lifecycle.targets(before):
            async with undone(owner):
                subject = Subject(owner, table)
                await subject.walk(before)
                is_refused = await refused(subject.go(target.state, **unmet))
                assert is_refused is (target.condition != ALWAYS), f"{before} to {target.state}"


async def test_what_is_monotonic_never_falls(owner: asyncpg.Connection) -> None:
    subject = Subject(owner, "generations")
    await subject.begin(GenerationStatus.QUEUED, attempts=7)
    with pytest.raises(asyncpg.CheckViolationError, match=r"attempts does not go from 7 to 6"):
        await subject.go(GenerationStatus.QUEUED, attempts=6)


class Light(State):
    """Of a lamp."""

    RED = "RED", "Stop."
    AMBER = "AMBER", "Wait."
    GREEN = "GREEN", "Go."


class Lamp(State):
    """Another one's states."""

    ON = "ON", "It is on."
    OFF = "OFF", "It is off."


RED, AMBER, GREEN = Light


def lamps(lifecycle: Lifecycle, default: str = "RED") -> Table:
    """A table with a lifecycle."""
    table = Table(
        "lamps",
        MetaData(),
        Column("light", Text, server_default=default, nullable=False),
        Column("broken_at", DateTime),
        Column("voltage", Integer),
    )
    declare_lifecycle(table, lifecycle)
    return table


ROUND = {RED: (GREEN,), GREEN: (AMBER,)}


@pytest.mark.parametrize(
    ("lifecycle", "default", "complaint"),
    [
        (Lifecycle("lihgt", Light, (RED,), ROUND), "RED", "there is no column lihgt"),
        (Lifecycle("light", Light, (RED,), ROUND, ("volts",)), "RED", "no column volts"),
        (Lifecycle("light", Light, (RED,), {RED: (GREEN,)}), "RED", "no row can come to AMBER"),
        (Lifecycle("light", Light, (Lamp.ON,), ROUND), "ON", "<Lamp.ON: 'ON'> is none of Light"),
        (Lifecycle("light", Light, (RED,), {Lamp.ON: Light}), "RED", "ON: 'ON'> is none of Light"),
        (Lifecycle("light", Light, (RED,), {RED: tuple(Light)}), "RED", "RED may always stay RED"),
        (Lifecycle("light", Light, (RED,), ROUND), "GREEN", "default GREEN is not where a row beg"),
        (Lifecycle("broken_at", Light, (RED,), ROUND), "RED", "broken_at may not be null"),
        (set_once("light", Lamp), "RED", "light must be null at first"),
        (set_once("broken_at", Light), "RED", "a timestamp tells two states apart"),
    ],
)
def test_a_wrong_declaration_says_what_is_wrong_with_it(
    lifecycle: Lifecycle, default: str, complaint: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(complaint)) as refusal:
        lamps(lifecycle, default)
    assert str(refusal.value).startswith("lamps.lifecycle: ")


async def test_a_condition_that_is_neither_true_nor_false_refuses(
    owner: asyncpg.Connection,
) -> None:
    dim = GREEN.when("new.voltage < 10", "there is little power")
    table = lamps(Lifecycle("light", Light, (RED, dim), {RED: (AMBER, dim)}))
    await owner.execute("create temporary table lamps (light text, voltage integer)")
    for statement in lifecycle_statements(table, table.info["lifecycle"]):
        await owner.execute(statement)
    for sql, unlawful in {
        "insert into lamps values ('RED', null)": False,
        "insert into lamps values ('GREEN', 9)": False,
        "insert into lamps values ('GREEN', null)": True,
        "insert into lamps values (null, 9)": True,
        "update lamps set light = 'GREEN' where light = 'RED'": True,
        "update lamps set light = null where light = 'RED'": True,
        "update lamps set light = 'GREEN', voltage = 9 where light = 'RED'": False,
        "update lamps set light = 'RED' where light = 'GREEN'": True,
    }.items():
        savepoint = owner.transaction()
        await savepoint.start()
        assert await refused(owner.execute(sql)) is unlawful, sql
        await (savepoint.rollback() if unlawful else savepoint.commit())


async def test_a_refused_transition_may_be_the_clients_to_hear_of(
    owner: asyncpg.Connection,
) -> None:
    upload = Subject(owner, "uploads")
    await upload.walk(UploadStatus.DELETED)
    with pytest.raises(DomainError) as refusal, invalid_state("upload", "input", "id"):
        async with undone(owner):
            await upload.go(UploadStatus.READY)
    assert (refusal.value.code, refusal.value.path) == (ErrorCode.INVALID_STATE, ("input", "id"))
    assert refusal.value.message.startswith("The upload is in a state")
    with pytest.raises(asyncpg.CheckViolationError), invalid_state("upload", "input", "id"):
        await owner.execute("update uploads set size_bytes = 0, status = 'READY'")


def test_only_states_that_are_stored_by_their_names_are_shown() -> None:
    with pytest.raises(TypeError, match="name and value"):
        state_enum(UserStatus)


def test_sql_names_states_that_there_are() -> None:
    known = {str(state) for lifecycle in LIFECYCLES.values() for state in lifecycle.states}
    compared = re.compile(r"\b(?:status|state) (?:=|<>|in|not in) (\([^)]*\)|'\w+')")
    named = {
        state
        for file in (*ROOT.glob("db/*/*.sql"), *ROOT.glob("db/*/*.py"), *ROOT.glob("jobs/*.py"))
        for values in compared.findall(file.read_text())
        for state in re.findall(r"'(\w+)'", values)
    }
    assert named - {"queued", "picked"} <= known, "those two are the queue's library's"
    assert len(named) > 10


def test_the_document_is_what_is_declared() -> None:
    assert DOCUMENT.read_text() == lifecycles_text(), "run `tallygraph lifecycles`"
