"""Functions made of the declarations create, change and delete rows by their columns' names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.core import writes
from db.core.access import Access, Nobody, Owner, PerCommand
from db.core.actor import Actor
from db.core.base import Declarations, Timestamp, UuidKey
from db.core.commands import FunctionCall, call
from db.core.pool import Database
from db.core.writes import create_row, delete_row, update_row, write_functions
from db.notifications.tables import Notification
from db.profiles.tables import Profile

from ..conftest import MakeUser

LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789000, UTC)


class Stage:
    """A user's profiles, as functions write them and as the owner sees them."""

    def __init__(self, database: Database, owner: asyncpg.Connection, actor: Actor) -> None:
        self._database, self._owner, self.actor = database, owner, actor

    async def run(self, wanted: FunctionCall[UUID]) -> UUID:
        """Does it for the user."""
        async with self._database.transaction(self.actor) as transaction:
            return await call(transaction, wanted)

    async def stored(self, profile: UUID) -> Any:
        """The row."""
        return await self._owner.fetchrow(
            "select *, synced_at > now() - interval '1 minute' as is_synced,"
            " updated_at = synced_at as is_new from profiles where id = $1",
            profile,
        )


@pytest.fixture
async def stage(database: Database, owner: asyncpg.Connection, make_user: MakeUser) -> Stage:
    """A new user."""
    return Stage(database, owner, await make_user())


async def test_what_is_given_is_stored_and_the_rest_is_its_default(stage: Stage) -> None:
    given = {"name": "Ada", "analysis": {"a": [1, None, "x"]}, "created_at": LONG_AGO}
    row = await stage.stored(await stage.run(create_row(Profile, given)))
    assert (row["user_id"], row["name"], row["thumbnail"]) == (stage.actor.user_id, "Ada", None)
    assert (row["analysis"], row["chat_history"]) == ('{"a": [1, null, "x"]}', "[]")
    assert (row["created_at"], row["is_new"], row["local_id"]) == (LONG_AGO, True, None)


async def test_what_is_not_given_stays_and_null_empties_what_may_be_empty(stage: Stage) -> None:
    made = await stage.run(
        create_row(Profile, {"name": "Ada", "thumbnail": "QQ==", "analysis": {}})
    )
    before = await stage.stored(made)
    assert await stage.run(update_row(Profile, made, {"name": None, "analysis": None})) == made
    row = await stage.stored(made)
    assert (row["name"], row["thumbnail"], row["analysis"]) == (None, "QQ==", "{}")
    assert row["created_at"] == before["created_at"]
    assert row["updated_at"] == row["synced_at"] > before["updated_at"]
    await stage.run(update_row(Profile, made, {"chat_history": [1], "updated_at": LONG_AGO}))
    row = await stage.stored(made)
    assert (row["chat_history"], row["updated_at"], row["is_synced"]) == ("[1]", LONG_AGO, True)


async def test_only_what_clients_may_write_is_written(stage: Stage, make_user: MakeUser) -> None:
    other = await make_user()
    given = {"user_id": other.user_id, "id": uuid4(), "synced_at": LONG_AGO, "analysis": {}}
    made = await stage.run(create_row(Profile, given))
    row = await stage.stored(made)
    assert (row["user_id"], row["is_synced"]) == (stage.actor.user_id, True)
    assert made != given["id"]
    await stage.run(update_row(Profile, made, {"user_id": other.user_id, "local_id": 9}))
    row = await stage.stored(made)
    assert (row["user_id"], row["local_id"]) == (stage.actor.user_id, None)


async def test_a_text_that_is_too_long_is_refused_and_not_cut_off(stage: Stage) -> None:
    with pytest.raises(asyncpg.StringDataRightTruncationError):
        await stage.run(create_row(Profile, {"name": "x" * 256, "analysis": {}}))


async def test_a_client_key_names_the_row_there_is(stage: Stage, make_user: MakeUser) -> None:
    given = {"local_id": 7, "name": "Ada", "analysis": {}}
    made = await stage.run(create_row(Profile, given))
    assert await stage.run(create_row(Profile, given | {"name": "Bea"})) == made
    assert (await stage.stored(made))["name"] == "Ada"
    stage.actor = await make_user()
    assert await stage.run(create_row(Profile, given)) != made


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        (update_row(Profile, uuid4(), {"name": "x"}), "profile"),
        (delete_row(Profile, uuid4()), "profile"),
        (update_row(Notification, uuid4(), {"read": True}), "notification"),
    ],
    ids=["update", "delete", "update another"],
)
async def test_a_row_that_is_not_there_is_refused(
    stage: Stage, wanted: FunctionCall[UUID], what: str
) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await stage.run(wanted)
    assert (refused.value.sqlstate, refused.value.hint) == ("TG000", "NOT_FOUND")
    assert refused.value.message == f"There is no such {what}."
    assert refused.value.detail == '{"path": ["input", "id"]}'


async def test_a_deleted_row_is_gone(stage: Stage) -> None:
    made = await stage.run(create_row(Profile, {"analysis": {}}))
    assert await stage.run(delete_row(Profile, made)) == made
    assert await stage.stored(made) is None


class _Base(Declarations, DeclarativeBase):
    metadata = MetaData()


class User(_Base):
    __tablename__ = "users"
    id: Mapped[UuidKey]
    access = Access(read=Nobody())


class BabyTooth(_Base):
    __tablename__ = "baby_teeth"
    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    marks: Mapped[Any] = mapped_column(JSONB, nullable=True)
    lost_at: Mapped[Timestamp]
    colour: Mapped[str] = mapped_column(Text, server_default="white")
    __table_args__ = (CheckConstraint("colour <> ''", name="colour"),)
    access = Access(
        read=Owner(),
        write=PerCommand(insert=Owner(), update=Owner()),
        insert=("user_id", "marks", "colour"),
        update=("marks",),
    )


class Odd(_Base):
    __tablename__ = "odd"
    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    names: Mapped[list[str]] = mapped_column(ARRAY(Text))
    access = Access(read=Owner(), write=Owner(), insert=("user_id", "names"))


class Slug(_Base):
    __tablename__ = "slugs"
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    access = Access(read=Owner(), write=Owner(), delete=True)


def made(monkeypatch: pytest.MonkeyPatch, model: Any) -> list[str]:
    """The functions of one table."""
    monkeypatch.setattr(writes, "models", lambda: {model.__tablename__: model})
    monkeypatch.setattr("db.core.commands._declared", {})
    return list(write_functions())


def test_a_table_has_the_functions_that_its_access_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    inserts, updates = made(monkeypatch, BabyTooth)
    assert "insert into public.baby_teeth (user_id, marks, colour)" in inserts
    assert "coalesce(given ->> 'colour', 'white')" in inserts
    assert "on conflict" not in inserts
    assert "set marks = case when given ? 'marks' then nullif(given -> 'marks', 'null')" in updates
    assert "There is no such baby tooth." in updates
    assert made(monkeypatch, User) == []


@pytest.mark.parametrize("model", [Odd, Slug])
def test_what_cannot_be_written_so_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    with pytest.raises(TypeError, match=model.__tablename__):
        made(monkeypatch, model)
