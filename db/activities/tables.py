"""Activities, and what was asked of an AI that writes them."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Index, Text
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.activities.vocabulary import (
    ANATOMY,
    AUDIENCES,
    DOMAINS,
    KINDS,
    LEVELS,
    LIMIT_KEYS,
    POWER_ROLES,
    SOURCES,
)
from db.core.access import Access, Admin
from db.core.base import Base, Json, Slug, Timestamp, UuidKey
from db.core.erasing import Keep
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.quotas import Bound

Names = Annotated[list[str], mapped_column(ARRAY(Text), server_default=sql("'{}'"))]

OF_A_SESSION = Keep("It names a play session, and no user.", ("session_id",))
NOBODYS = NotExported("The operator's: it says nothing of a user.")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} in ({', '.join(map(repr, values))})"


def _some_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} <@ array[{', '.join(map(repr, values))}]"


class Activity(Base):
    """A truth or a dare that a player can be given.

    `id` is the SHA-256 of `kind` and `text` (`rules.activity_uid`): another text is another
    activity, so that what players were shown never changes. In `text`, {active} stands for the
    player whose turn it is and {partner} for the other one.

    `themes` are slugs, the first is the primary one. `limit_keys` are the limits that it touches;
    `needs_anatomy_active` and `needs_anatomy_partner` what each of the two must have. `power_role`
    is the active player's. `preference_keys` are items of the survey as the active player answers
    them: of a pair, the partner's item has the other letter. `shuffle` is a random place: a draw
    reads on from a random one through `ix_activities_drawing`, so that it looks at as many rows in
    a bank of any size.

    With a `session_id` it was made for that play session and is drawn in no other. One that was
    removed `is_active` no more: what was played names it. `edited` is what an admin has changed.
    """

    __tablename__ = "activities"

    id: Mapped[Slug]
    kind: Mapped[str]
    level: Mapped[str]
    intensity: Mapped[int]
    text: Mapped[str]
    themes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    audience: Mapped[str] = mapped_column(server_default="ALL")
    limit_keys: Mapped[Names]
    needs_anatomy_active: Mapped[Names]
    needs_anatomy_partner: Mapped[Names]
    power_role: Mapped[str] = mapped_column(server_default="NEUTRAL")
    preference_keys: Mapped[Names]
    domains: Mapped[Names]
    source: Mapped[str]
    session_id: Mapped[UUID | None]
    is_active: Mapped[bool] = mapped_column(server_default=sql("true"))
    shuffle: Mapped[float] = mapped_column(server_default=sql("random()"))
    created_at: Mapped[Timestamp]
    edited: Mapped[Names]

    __table_args__ = (
        CheckConstraint("id ~ '^[0-9a-f]{64}$'", name="id"),
        CheckConstraint(_one_of("kind", KINDS), name="kind"),
        CheckConstraint(_one_of("level", LEVELS), name="level"),
        CheckConstraint("intensity between 1 and 5", name="intensity"),
        CheckConstraint("length(text) between 1 and 1000", name="text"),
        CheckConstraint("cardinality(themes) between 1 and 10", name="themes"),
        CheckConstraint(_one_of("audience", AUDIENCES), name="audience"),
        CheckConstraint(_some_of("limit_keys", LIMIT_KEYS), name="limit_keys"),
        CheckConstraint(
            f"{_some_of('needs_anatomy_active', ANATOMY)}"
            f" and {_some_of('needs_anatomy_partner', ANATOMY)}",
            name="anatomy",
        ),
        CheckConstraint(_one_of("power_role", POWER_ROLES), name="power_role"),
        CheckConstraint("cardinality(preference_keys) <= 20", name="preference_keys"),
        CheckConstraint(_some_of("domains", DOMAINS), name="domains"),
        CheckConstraint(_one_of("source", SOURCES), name="source"),
        CheckConstraint("(source = 'AI') = (session_id is not null)", name="session"),
        Index(
            "ix_activities_drawing",
            "kind",
            "level",
            "shuffle",
            postgresql_where=sql("is_active and session_id is null"),
        ),
        Index(
            "ix_activities_session_id",
            "session_id",
            "kind",
            postgresql_where=sql("session_id is not null"),
        ),
        Index(
            "ix_activities_made_at",
            "created_at",
            postgresql_where=sql("session_id is not null"),
        ),
        Index("ix_activities_created_at_id", "created_at", "id"),
    )
    access = Access(read=Admin(), hidden=("session_id", "shuffle", "edited"))
    on_erase = OF_A_SESSION
    export = NOBODYS
    quota = Bound("Operators fill it by imports; no client writes it.")
    expiries = (
        Expiry(
            "activities made for a session a month ago",
            "session_id is not null and created_at < now() - interval '30 days'",
            "created_at",
        ),
    )


class ActivityGenerationLog(Base):
    """One request to an AI for activities of a play session, and what came of it.

    `answer` is null where none came. `reasons` says why those that were not approved were not,
    each with its place in the answer. Nothing in `prompt` names a player.
    """

    __tablename__ = "activity_generation_logs"

    id: Mapped[UuidKey]
    session_id: Mapped[UUID]
    provider: Mapped[str]
    model: Mapped[str]
    level: Mapped[str]
    prompt: Mapped[str]
    answer: Mapped[str | None]
    outcome: Mapped[str]
    approved_count: Mapped[int] = mapped_column(server_default=sql("0"))
    refused_count: Mapped[int] = mapped_column(server_default=sql("0"))
    reasons: Mapped[list[object]] = mapped_column(JSONB, server_default=sql("'[]'"))
    duration_milliseconds: Mapped[int]
    usage: Mapped[Json] = mapped_column(server_default=sql("'{}'"))
    cost_micro_usd: Mapped[int] = mapped_column(server_default=sql("0"))
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(_one_of("level", LEVELS), name="level"),
        CheckConstraint(
            _one_of("outcome", ("ANSWERED", "FAILED", "REFUSED", "TIMED_OUT")), name="outcome"
        ),
        Index("ix_activity_generation_logs_created_at_id", "created_at", "id"),
        Index("ix_activity_generation_logs_session_id", "session_id"),
    )
    large: ClassVar = {"prompt": 32_768, "answer": 65_536, "reasons": 16_384, "usage": 4_096}
    access = Access(read=Admin(), hidden=("session_id",), service=("SELECT", "INSERT", "DELETE"))
    on_erase = OF_A_SESSION
    export = NOBODYS
    quota = Bound("No client writes it; rows go after 90 days.")
    expiries = (
        Expiry(
            "requests to an AI for activities",
            "created_at < now() - interval '90 days'",
            "created_at",
        ),
    )
