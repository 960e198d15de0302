"""Makes the people who show Attuned, their partnership and their sessions, as the tables' owner.

Each of them acts by the commands that clients have. Who is there already stays as they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from db.accounts.emails import email_key
from db.accounts.operating import as_owner
from db.accounts.operations import GRANT_SIGN_UP_BONUS
from db.administration.new_users import NewUser
from db.administration.operations import ADD_USER
from db.core.codecs import set_codecs
from db.core.commands import FunctionCall, PythonCommand, call, call_on
from db.core.errors import Problems
from db.core.pool import PooledConnection, Transaction
from db.demo.people import ALICE, ANONYMOUS, BOB, CHARLIE, MEMBERS, DemoPerson
from db.partners.operations import CONNECT
from db.plans.operations import GIVE_PLAN
from db.play import operations as play
from db.surveys import operations as surveys

SURVEY = "attuned-0.4"
# Of Eve, who has stopped in the middle.
FIRST_ANSWERS = 7
DRAWN_ACTIVITIES = 3
_FIND = "select id from users where email_key = $1"
_ADD_GUEST = f"""
with added as (
    insert into users (id, is_anonymous, display_name) values ($1, true, $2)
    on conflict do nothing returning id)
select {GRANT_SIGN_UP_BONUS.name}(a.id, true) from added a
"""  # noqa: S608 - all of it is written here
_ITEMS = "select item_id, kind, is_short from survey_items where survey_id = $1 order by sort_order"
_DOCUMENTS = """
select distinct on (document_id) document_id, version from legal_documents
where effective_at <= now() and is_required order by document_id, effective_at desc, version desc
"""
_SET_ZONE = "update users set time_zone = $2 where id = $1"
# The day that is today in the person's zone.
_USE_DAY = f"""
insert into play_days as d (user_id, used, zone, resets_at)
select u.id, $2, u.time_zone, {play.NEXT_MIDNIGHT.name}(now(), u.time_zone)
from users u where u.id = $1
on conflict (user_id) do update
set used = excluded.used, zone = excluded.zone, resets_at = excluded.resets_at
where d.resets_at <= now()
"""  # noqa: S608
_PARTNER = "select id from partners where user_id = $1 and partner_id = $2"
_VERSION = "select version from play_sessions where id = $1"


class DemoError(Exception):
    """The demo cannot be made; the message says what is missing."""


async def load_people(owner_url: str, password_hash: str, operator: str) -> dict[str, int]:
    """Makes whom there is not yet; gives how many were made of what."""
    async with as_owner(owner_url) as connection:
        await set_codecs(connection)
        loading = _Loading(connection, password_hash, operator)
        return await loading.run()


class _Loading:
    """One loading over one connection."""

    def __init__(self, connection: asyncpg.Connection, password_hash: str, operator: str) -> None:
        self._connection = connection
        self._password_hash = password_hash
        self._operator = operator
        self._items: list[asyncpg.Record] = []

    async def run(self) -> dict[str, int]:
        self._items = await self._connection.fetch(_ITEMS, SURVEY)
        if not self._items:
            raise DemoError("There is no survey to answer: run `tallygraph seed attuned` first.")
        made = {"people": 0, "guests": 0, "play sessions": 0}
        ids: dict[str, UUID] = {}
        for person in MEMBERS:
            assert person.email
            ids[person.name], is_new = await self._member(person, person.email)
            made["people"] += is_new
        for person in ANONYMOUS:
            made["guests"] += await self._guest(person)
        made["play sessions"] = await self._play(ids)
        return made

    async def _member(self, person: DemoPerson, email: str) -> tuple[UUID, bool]:
        found = await self._connection.fetchval(_FIND, email_key(email))
        is_new = found is None
        if is_new:
            # Whole or not at all, so that it goes on where it stopped.
            async with self._connection.transaction():
                new = NewUser(email, is_confirmed=True, display_name=person.name)
                given = new.with_hash(self._password_hash)
                added = ADD_USER(
                    given=given, given_by=self._operator, from_network=None, from_device=None
                )
                found = await call_on(self._connection, added)
                await self._connection.execute(_SET_ZONE, found, person.time_zone)
                await self._become(person, found)
        if person.used_today is not None:
            await self._connection.execute(_USE_DAY, found, person.used_today)
        return found, is_new

    async def _guest(self, person: DemoPerson) -> bool:
        async with self._connection.transaction():
            added = await self._connection.fetch(_ADD_GUEST, person.guest_id, person.name)
            if added:
                await self._become(person, person.guest_id)
        return bool(added)

    async def _become(self, person: DemoPerson, user_id: UUID) -> None:
        """Everything that a person says before they play."""
        documents = await self._connection.fetch(_DOCUMENTS)
        async with self._acting(user_id) as act:
            for document in documents:
                await act(surveys.record_consent(*document))
            if person.demographics is not None:
                await act(surveys.update_demographics(Problems(), person.demographics))
            await self._answer(act, person)
            if person.plan_id is not None:
                await act(
                    GIVE_PLAN(
                        owner_id=user_id,
                        wanted_plan=person.plan_id,
                        ends_at=None,
                        change_reason="demo",
                        idempotency_key="demo",
                        given_by=self._operator,
                    )
                )

    async def _answer(self, act: Act, person: DemoPerson) -> None:
        run = await act(surveys.start(SURVEY, "FULL"))
        answers = [
            (item["item_id"], person.answer(item["item_id"], item["kind"])) for item in self._items
        ]
        given = answers if person.is_surveyed else answers[:FIRST_ANSWERS]
        await act(surveys.save_answers(Problems(), run, given, "demo"))
        if person.is_surveyed:
            await act(surveys.submit(run))

    async def _play(self, ids: dict[str, UUID]) -> int:
        """A session of two partners that goes on, and one with somebody beside that is over."""
        alice, bob, charlie = ids[ALICE.name], ids[BOB.name], ids[CHARLIE.name]
        if await self._connection.fetchval(_PARTNER, alice, bob) is not None:
            return 0
        async with self._connection.transaction():
            # Without a request, which would be mailed.
            await call_on(self._connection, CONNECT(one=alice, other=bob))
            partner = await self._connection.fetchval(_PARTNER, alice, bob)
            async with self._acting(alice) as act:
                session = await act(_started("R", [(partner, None, ())]))
            async with self._acting(bob) as act:
                await act(play.confirm(session, None))
            async with self._acting(alice) as act:
                await self._draw(act, session)
            async with self._acting(charlie) as act:
                other = await act(_started("G", [(None, "Sam", ("vagina",))]))
                await self._draw(act, other)
                await act(play.end(other))
        return 2

    async def _draw(self, act: Act, session: UUID) -> None:
        """Some activities that were done, and the next one as it lies there."""
        for number in range(DRAWN_ACTIVITIES):
            version = await self._connection.fetchval(_VERSION, session)
            await act(play.draw(session, "RANDOM", version))
            if number < DRAWN_ACTIVITIES - 1:
                done = play.complete(session, version + 1, done=True, feedback="LIKE")
                await act(done)

    @asynccontextmanager
    async def _acting(self, user_id: UUID) -> AsyncIterator[Act]:
        """Commands in somebody's name, in the transaction that is open."""
        transaction = Transaction(PooledConnection(self._connection))
        await self._claim(str(user_id))
        yield Act(transaction)
        await self._claim("")

    async def _claim(self, claim: str) -> None:
        await self._connection.execute("select set_config('app.user_id', $1, true)", claim)


class Act:
    """Runs a command as whoever the transaction's claim names."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def __call__(self, command: FunctionCall[Any] | PythonCommand[Any]) -> Any:
        if isinstance(command, PythonCommand):
            return await command.run(self._transaction)
        return await call(self._transaction, command)


def _started(
    level: str, others: Sequence[tuple[UUID | None, str | None, Sequence[str]]]
) -> FunctionCall[UUID]:
    return play.start(
        Problems(), level=level, order="SEQUENTIAL", others=others, idempotency_key="demo"
    )
