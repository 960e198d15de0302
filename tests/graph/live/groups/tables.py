"""Tables of groups for tests: teams whose members have roles, pairs, and rows that belong to them."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import strawberry
from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateIndex, CreateTable
from strawberry.schema.config import StrawberryConfig

from db.core.access import Access, AnyOf, Group, Member, Owner, Public, Shared, Through, Watch
from db.core.base import NAMING, Base, Declarations, UuidKey
from db.core.declarations import declared_statements
from db.core.groups import group_statements
from graph.engine.checks import check_schema
from graph.engine.declare import backed_by, column, global_id, live
from graph.shared.relay import Cursor, Node
from graph.shared.scalars import SCALARS

BY_TEAM = Member("team_id", group="team")


class Tables(Declarations, DeclarativeBase):
    """The base of the tests' own tables, apart from those of the product."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = Base.type_annotation_map


class Team(Tables):
    __tablename__ = "teams"

    id: Mapped[UuidKey]
    name: Mapped[str]

    access = Access(read=Member("id", group="team"))
    watch = Watch("teams.changed", deletes=True)


class TeamMember(Tables):
    __tablename__ = "team_members"

    id: Mapped[UuidKey]
    team_id: Mapped[UUID] = mapped_column(ForeignKey(Team.id, ondelete="CASCADE"), index=True)
    user_id: Mapped[UUID] = mapped_column(index=True)
    role: Mapped[str]
    status: Mapped[str]

    access = Access(read=BY_TEAM)
    group = Group("team", key="team_id", role="role", counts={"status": ("ACTIVE",)})


class Pair(Tables):
    __tablename__ = "pairs"

    id: Mapped[UuidKey]
    one_id: Mapped[UUID] = mapped_column(index=True)
    other_id: Mapped[UUID] = mapped_column(index=True)
    status: Mapped[str]

    access = Access(read=Shared("id", "pair"))
    group = Group("pair", key="id", users=("one_id", "other_id"), counts={"status": ("ACCEPTED",)})


class Note(Tables):
    __tablename__ = "notes"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None]
    team_id: Mapped[UUID | None] = mapped_column(ForeignKey(Team.id, ondelete="CASCADE"))
    body: Mapped[str]

    access = Access(read=AnyOf(Owner(), BY_TEAM))
    watch = Watch("notes.changed", deletes=True)


class Secret(Tables):
    __tablename__ = "secrets"

    id: Mapped[UuidKey]
    team_id: Mapped[UUID]
    body: Mapped[str]

    access = Access(read=Member("team_id", roles=("owner", "admin"), group="team"))
    watch = Watch("secrets.changed", deletes=True)


class Letter(Tables):
    __tablename__ = "letters"

    id: Mapped[UuidKey]
    pair_id: Mapped[UUID]
    body: Mapped[str]

    access = Access(read=Shared("pair_id", "pair"))
    watch = Watch("letters.changed")


class Poster(Tables):
    __tablename__ = "posters"

    id: Mapped[UuidKey]
    team_id: Mapped[UUID]
    is_shown: Mapped[bool]
    body: Mapped[str]

    access = Access(read=AnyOf(Public("is_shown"), BY_TEAM))
    watch = Watch("posters.changed")


class Remark(Tables):
    __tablename__ = "remarks"

    id: Mapped[UuidKey]
    note_id: Mapped[UUID] = mapped_column(ForeignKey(Note.id, ondelete="CASCADE"))
    body: Mapped[str]

    access = Access(read=Through("note_id"))
    watch = Watch("remarks.changed")


async def make_tables(owner: asyncpg.Connection) -> None:
    """Makes the tables as a migration would, with all that follows from their declarations."""
    models: dict[Any, Any] = {one.local_table: one.class_ for one in Tables.registry.mappers}
    for table in Tables.metadata.sorted_tables:
        for made in (CreateTable(table), *map(CreateIndex, table.indexes)):
            await owner.execute(str(made.compile(dialect=postgresql.dialect())))
        if models[table].group:
            for statement in group_statements(table, models[table].group):
                await owner.execute(statement)
    for table, model in models.items():
        for statement in declared_statements(table, model):
            await owner.execute(statement)
    for name in ("notes", "team_members"):
        await owner.execute(
            f"alter table {name} add foreign key (user_id) references users on delete cascade"
        )


@backed_by(Team, prefix="team")
class TeamType(Node):
    """A team."""

    id: strawberry.ID = global_id()
    name: str = column(description="Its name.")


@backed_by(Note, prefix="note")
class NoteType(Node):
    """A note of somebody's, of a team's, or of both."""

    id: strawberry.ID = global_id()
    body: str = column(description="What it says.")


@backed_by(Secret, prefix="secret")
class SecretType(Node):
    """What only some roles see."""

    id: strawberry.ID = global_id()
    body: str = column(description="What it says.")


@backed_by(Letter, prefix="letter")
class LetterType(Node):
    """What two share."""

    id: strawberry.ID = global_id()
    body: str = column(description="What it says.")


@backed_by(Remark, prefix="remark")
class RemarkType(Node):
    """What belongs to whom the note belongs to."""

    id: strawberry.ID = global_id()
    body: str = column(description="What it says.")


@strawberry.type(description="A change of a team.")
class TeamChanged:
    """An item."""

    cursor: Cursor = strawberry.field(description="Resumes behind it.")
    row: TeamType | None = strawberry.field(description="The team.")
    deleted_id: strawberry.ID | None = strawberry.field(description="Of one that is gone.")


@strawberry.type(description="A change of a note.")
class NoteChanged:
    """An item."""

    cursor: Cursor = strawberry.field(description="Resumes behind it.")
    row: NoteType | None = strawberry.field(description="The note.")
    deleted_id: strawberry.ID | None = strawberry.field(description="Of one that is gone.")


@strawberry.type(description="A change of a secret.")
class SecretChanged:
    """An item."""

    cursor: Cursor = strawberry.field(description="Resumes behind it.")
    row: SecretType | None = strawberry.field(description="The secret.")
    deleted_id: strawberry.ID | None = strawberry.field(description="Of one that is gone.")


@strawberry.type(description="A change of a letter.")
class LetterChanged:
    """An item."""

    cursor: Cursor = strawberry.field(description="Resumes behind it.")
    row: LetterType | None = strawberry.field(description="The letter.")


@strawberry.type(description="A change of a remark.")
class RemarkChanged:
    """An item."""

    cursor: Cursor = strawberry.field(description="Resumes behind it.")
    row: RemarkType | None = strawberry.field(description="The remark.")


@backed_by(Poster, prefix="poster")
class PosterType(Node):
    """What everybody sees while it is shown, and its team always."""

    id: strawberry.ID = global_id()
    body: str = column(description="What it says.")


@strawberry.type(description="A change of a poster.")
class PosterChanged:
    """An item."""

    cursor: Cursor = strawberry.field(description="Resumes behind it.")
    row: PosterType | None = strawberry.field(description="The poster.")
    deleted_id: strawberry.ID | None = strawberry.field(description="Of one that is gone.")


@strawberry.type(description="What can be asked.")
class Query:
    """Nothing."""

    nothing: bool | None = strawberry.field(description="Nothing.")


@strawberry.type(description="What can be watched.")
class Subscription:
    """One field for each table."""

    team_changed: TeamChanged = live(
        "teams.changed", "row", entity=True, gone="deletedId", description="One team."
    )
    notes_changed: NoteChanged = live(
        "notes.changed", "row", starts_empty=True, gone="deletedId", description="All notes."
    )
    note_changed: NoteChanged = live(
        "notes.changed", "row", entity=True, gone="deletedId", description="One note."
    )
    secrets_changed: SecretChanged = live(
        "secrets.changed", "row", starts_empty=True, gone="deletedId", description="All secrets."
    )
    secret_changed: SecretChanged = live(
        "secrets.changed", "row", entity=True, gone="deletedId", description="One secret."
    )
    letters_changed: LetterChanged = live(
        "letters.changed", "row", starts_empty=True, description="All letters."
    )
    posters_changed: PosterChanged = live(
        "posters.changed", "row", starts_empty=True, gone="deletedId", description="All posters."
    )
    remark_changed: RemarkChanged = live(
        "remarks.changed", "row", entity=True, description="One remark."
    )
    remarks_changed: RemarkChanged = live(
        "remarks.changed", "row", starts_empty=True, description="All remarks."
    )


def build_schema() -> strawberry.Schema:
    """The schema of these tables alone."""
    schema = strawberry.Schema(
        query=Query, subscription=Subscription, config=StrawberryConfig(scalar_map=SCALARS)
    )
    check_schema(schema._schema)
    return schema
