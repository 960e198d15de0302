"""Surveys and what comes of them: runs, answers, profiles with their scores, and boundaries."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, AllOf, AnyOf, LikeOwn, Owner, Public, Through
from db.core.base import Base, OptionalTimestamp, Slug, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import MergedBy, Move
from db.core.quotas import Bound
from db.partners.tables import SharingLevel, shown_at

Texts = Annotated[list[str], mapped_column(ARRAY(Text), server_default=text("'{}'"))]
OwnerId = Annotated[UUID, mapped_column(ForeignKey("users.id", ondelete="CASCADE"))]

# In the order of the radar.
DOMAINS = ("SENSATION", "POWER", "CONNECTION", "EXPLORATION", "VERBAL")
# As Postgres writes it.
CURRENT_OF = "CASE WHEN is_current THEN user_id ELSE NULL::uuid END"
# An item that somebody wants or perhaps wants, by its key; null for all other answers.
OPEN_ITEM = (
    "CASE WHEN is_current AND score >= 0.5::double precision"
    " AND jsonb_typeof(value) = 'string'::text"
    " THEN (survey_id || ':'::text) || item_id ELSE NULL::text END"
)
LIMIT_KEYS = (
    "impact",
    "restraint",
    "breath",
    "degradation",
    "public",
    "recording",
    "anal",
    "watersports",
)
# Scores are shown with the profile that they are of.
SHOWN_WITH_PROFILE = Through("profile_id", shown_at(SharingLevel.ALL, whose="current_of"))
WITH_PROFILES = Bound("Some for each profile, of which the 20 newest of a user are kept.")


def one_of(column: str, values: tuple[str, ...]) -> str:
    """The condition that a column has one of the values."""
    return f"{column} in ({', '.join(map(repr, values))})"


class SurveyRunStatus(State):
    """How far somebody is with a survey."""

    IN_PROGRESS = "IN_PROGRESS", "Answers are saved; any device may go on."
    SUBMITTED = "SUBMITTED", "A profile was made of the answers."
    ABANDONED = "ABANDONED", "It was given up, or nobody went on for 30 days; it goes in a week."


class Survey(Base):
    """A version of a survey; versions stand side by side.

    No run begins of one that `is_active` no more, and those in progress go on. Who edits answers
    begins a run of the same version. `edited` is what an admin has changed.
    """

    __tablename__ = "surveys"

    id: Mapped[Slug]
    version: Mapped[str]
    title_key: Mapped[str]
    description_key: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    sort_order: Mapped[int] = mapped_column(server_default=text("0"))
    edited: Mapped[Texts]

    access = Access(read=Public(), hidden=("edited",), service=("SELECT",))


class SurveyItem(Base):
    """What a survey asks, one answer each; the two sides of a pair are items of their own.

    `measures` are the scores that the answer counts to, `tags` those that it sets, and
    `limit_keys` the limits under which it falls. `options` are what a checklist offers.
    """

    __tablename__ = "survey_items"

    id: Mapped[str] = mapped_column(
        Computed("survey_id || ':' || item_id", persisted=True), primary_key=True
    )
    survey_id: Mapped[str] = mapped_column(ForeignKey("surveys.id", ondelete="CASCADE"))
    item_id: Mapped[str]
    question: Mapped[str]
    section: Mapped[str]
    kind: Mapped[str]
    side: Mapped[str] = mapped_column(server_default="NONE")
    text_key: Mapped[str]
    options: Mapped[Texts]
    measures: Mapped[Texts]
    tags: Mapped[Texts]
    limit_keys: Mapped[Texts]
    is_required: Mapped[bool] = mapped_column(server_default=text("false"))
    is_short: Mapped[bool] = mapped_column(server_default=text("false"))
    sort_order: Mapped[int]

    __table_args__ = (
        UniqueConstraint("survey_id", "item_id"),
        CheckConstraint(one_of("kind", ("SCALE", "YES_MAYBE_NO", "CHECKLIST")), name="kind"),
        CheckConstraint(one_of("side", ("NONE", "RECEIVE", "GIVE", "SELF", "WATCH")), name="side"),
        CheckConstraint("item_id ~ '^[A-Z][0-9]{1,3}[ab]?$'", name="item_id"),
    )
    access = Access(read=Public(), service=("SELECT",))


class SurveyRun(Base):
    """Somebody's way through a survey, from the first answer to a profile.

    A user has one in progress of each survey. `saved_at` is the last change of an answer by the
    server's clock. Of the `item_count` items of its form `answered_count` are answered.
    """

    __tablename__ = "survey_runs"

    id: Mapped[UuidKey]
    user_id: Mapped[OwnerId]
    survey_id: Mapped[str] = mapped_column(ForeignKey("surveys.id"), index=True)
    form: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=SurveyRunStatus.IN_PROGRESS)
    item_count: Mapped[int] = mapped_column(server_default=text("0"))
    answered_count: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Timestamp]
    saved_at: Mapped[Timestamp]
    ended_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint(one_of("form", ("SHORT", "FULL")), name="form"),
        CheckConstraint("(status = 'IN_PROGRESS') = (ended_at is null)", name="end"),
        Index(
            "uq_survey_runs_in_progress",
            "user_id",
            "survey_id",
            unique=True,
            postgresql_where=text("status = 'IN_PROGRESS'"),
        ),
        Index("ix_survey_runs_user_id_created_at_id", "user_id", "created_at", "id"),
        Index(
            "ix_survey_runs_unfinished",
            "saved_at",
            postgresql_where=text("status = 'IN_PROGRESS'"),
        ),
        Index(
            "ix_survey_runs_abandoned",
            "ended_at",
            postgresql_where=text("status = 'ABANDONED'"),
        ),
    )
    access = Access(read=Owner(), service=("SELECT", "DELETE"))
    lifecycle = Lifecycle(
        "status",
        SurveyRunStatus,
        initial=(SurveyRunStatus.IN_PROGRESS,),
        transitions={
            SurveyRunStatus.IN_PROGRESS: (SurveyRunStatus.SUBMITTED, SurveyRunStatus.ABANDONED)
        },
    )
    on_erase = Delete()
    on_merge = MergedBy("merge_survey_runs")
    quota = Bound(
        "One for each profile that is kept, one in progress and one abandoned of a survey."
    )
    expiries = (
        Expiry(
            "surveys abandoned a week ago",
            "status = 'ABANDONED' and ended_at < now() - interval '7 days'",
            "ended_at",
        ),
    )


class SurveyAnswer(Base):
    """An answer of a run: 1 to 7, YES, MAYBE or NO, or a list of options.

    `score` is the answer between 0 and 1, null for a list. Those of the user's newest profile are
    `is_current`, and `current_of` them: partners see these at most. Of whoever shows what overlaps
    they see each `open_item` that is one of their own too. No index begins with `current_of`: the
    planner would look there for partners' answers in what somebody reads of their own. `changed_at`
    goes along when a later run begins with the answer.
    """

    __tablename__ = "survey_answers"

    id: Mapped[UuidKey]
    user_id: Mapped[OwnerId]
    run_id: Mapped[UUID] = mapped_column(ForeignKey("survey_runs.id", ondelete="CASCADE"))
    survey_id: Mapped[str]
    item_id: Mapped[str]
    value: Mapped[object] = mapped_column(JSONB)
    score: Mapped[float | None]
    is_current: Mapped[bool] = mapped_column(server_default=text("false"))
    current_of: Mapped[UUID | None] = mapped_column(Computed(CURRENT_OF, persisted=True))
    open_item: Mapped[str | None] = mapped_column(Computed(OPEN_ITEM, persisted=True))
    changed_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("run_id", "item_id"),
        ForeignKeyConstraint(
            ["survey_id", "item_id"], ["survey_items.survey_id", "survey_items.item_id"]
        ),
        CheckConstraint("score between 0 and 1", name="score"),
        Index("ix_survey_answers_survey_id_item_id", "survey_id", "item_id"),
        Index("ix_survey_answers_user_id", "user_id"),
        Index(
            "uq_survey_answers_current",
            "user_id",
            "item_id",
            unique=True,
            postgresql_where=text("is_current"),
        ),
    )
    large: ClassVar = {"value": 1_024}
    access = Access(
        read=AnyOf(
            Owner(),
            shown_at(SharingLevel.ALL, whose="current_of"),
            AllOf(
                shown_at(SharingLevel.OVERLAPPING, whose="current_of"),
                LikeOwn("open_item"),
            ),
        ),
        service=("SELECT",),
    )
    on_erase = Delete()
    on_merge = Move()
    quota = Bound("One for each item of a run.")


class SurveyProfile(Base):
    """What a submitted run says of somebody; the newest version is the current one.

    `current_of` is the user of a current profile, null in others. Powers, `archetypes` (the best
    first) and `tags` are worked out by `rules.py`.
    """

    __tablename__ = "survey_profiles"

    id: Mapped[UuidKey]
    user_id: Mapped[OwnerId]
    run_id: Mapped[UUID] = mapped_column(
        ForeignKey("survey_runs.id", ondelete="CASCADE"), unique=True
    )
    survey_id: Mapped[str] = mapped_column(ForeignKey("surveys.id"), index=True)
    version: Mapped[int]
    is_current: Mapped[bool] = mapped_column(server_default=text("true"))
    current_of: Mapped[UUID | None] = mapped_column(
        Computed(CURRENT_OF, persisted=True), unique=True
    )
    power_orientation: Mapped[str]
    power_confidence: Mapped[float]
    power_level: Mapped[str]
    top_percent: Mapped[int]
    archetypes: Mapped[Texts]
    is_balanced: Mapped[bool]
    tags: Mapped[Texts]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("user_id", "version"),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint(
            one_of("power_orientation", ("TOP", "BOTTOM", "SWITCH", "VERSATILE")),
            name="power_orientation",
        ),
        CheckConstraint("power_confidence between 0 and 1", name="power_confidence"),
        CheckConstraint(
            one_of("power_level", ("LOW", "MODERATE", "HIGH", "VERY_HIGH")), name="power_level"
        ),
        CheckConstraint("top_percent between 0 and 100", name="top_percent"),
        CheckConstraint("cardinality(archetypes) >= 1", name="archetypes"),
        Index("ix_survey_profiles_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(
        read=AnyOf(Owner(), shown_at(SharingLevel.ALL, whose="current_of")), service=("SELECT",)
    )
    on_erase = Delete()
    on_merge = Move()
    quota = Bound("The 20 newest of a user are kept.")


class SurveyDomainScore(Base):
    """How much a domain means to somebody, 0 to 100; `sort_order` is its place on the radar."""

    __tablename__ = "survey_domain_scores"

    id: Mapped[UuidKey]
    user_id: Mapped[OwnerId] = mapped_column(index=True)
    profile_id: Mapped[UUID] = mapped_column(ForeignKey("survey_profiles.id", ondelete="CASCADE"))
    domain: Mapped[str]
    score: Mapped[int]
    sort_order: Mapped[int]

    __table_args__ = (
        UniqueConstraint("profile_id", "domain"),
        CheckConstraint(one_of("domain", DOMAINS), name="domain"),
        CheckConstraint("score between 0 and 100", name="score"),
    )
    access = Access(read=AnyOf(Owner(), SHOWN_WITH_PROFILE), service=("SELECT",))
    on_erase = Delete()
    on_merge = Move()
    quota = WITH_PROFILES


class SurveyMeasure(Base):
    """A score that is drawn as a bar, 0 to 100, with its word; null where nothing of it was asked.

    Of arousal: SE is excitation, SIS_P inhibition by performance, SIS_C by consequences (the dual
    control model). TRUTH is how open somebody is to talk.
    """

    __tablename__ = "survey_measures"

    id: Mapped[UuidKey]
    user_id: Mapped[OwnerId] = mapped_column(index=True)
    profile_id: Mapped[UUID] = mapped_column(ForeignKey("survey_profiles.id", ondelete="CASCADE"))
    measure: Mapped[str]
    score: Mapped[float | None]
    level: Mapped[str | None]
    sort_order: Mapped[int]

    __table_args__ = (
        UniqueConstraint("profile_id", "measure"),
        CheckConstraint(
            one_of("measure", ("SE", "SIS_P", "SIS_C", "POWER_TOP", "POWER_BOTTOM", "TRUTH")),
            name="measure",
        ),
        CheckConstraint(
            one_of("level", ("LOW", "MODERATE_LOW", "MODERATE_HIGH", "HIGH")), name="level"
        ),
        CheckConstraint("score between 0 and 100", name="score"),
    )
    access = Access(read=AnyOf(Owner(), SHOWN_WITH_PROFILE), service=("SELECT",))
    on_erase = Delete()
    on_merge = Move()
    quota = WITH_PROFILES


class Boundary(Base):
    """What somebody will not do (HARD), or only perhaps (SOFT): an item or a limit's key.

    NONE says that they want no boundary where answers would draw one. One that was SET stays when
    a profile is made anew, unless an answer given after it is stricter. `profile_id` is the current
    profile, null without one.
    """

    __tablename__ = "boundaries"

    id: Mapped[UuidKey]
    user_id: Mapped[OwnerId]
    profile_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("survey_profiles.id", ondelete="SET NULL"), index=True
    )
    item_id: Mapped[str]
    kind: Mapped[str]
    source: Mapped[str]
    changed_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("user_id", "item_id"),
        CheckConstraint(one_of("kind", ("HARD", "SOFT", "NONE")), name="kind"),
        CheckConstraint(one_of("source", ("INFERRED", "SET")), name="source"),
    )
    access = Access(read=AnyOf(Owner(), shown_at(SharingLevel.ALL)), service=("SELECT",))
    on_erase = Delete()
    on_merge = MergedBy("merge_boundaries")
    quota = Bound("One for each item and limit of the surveys.")


class Demographics(Base):
    """Who somebody says they are. There is a row once it is complete: they may play."""

    __tablename__ = "demographics"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str]
    gender: Mapped[str]
    orientation: Mapped[str]
    relationship: Mapped[str]
    anatomy_self: Mapped[list[str]] = mapped_column(ARRAY(Text))
    anatomy_preference: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint(
            one_of("gender", ("WOMAN", "MAN", "NON_BINARY", "RATHER_NOT_SAY")), name="gender"
        ),
        CheckConstraint(
            one_of("orientation", ("STRAIGHT", "GAY", "BISEXUAL", "RATHER_NOT_SAY")),
            name="orientation",
        ),
        CheckConstraint(
            one_of("relationship", ("MONOGAMOUS", "OPEN", "RATHER_NOT_SAY")), name="relationship"
        ),
        CheckConstraint(
            "cardinality(anatomy_self) between 1 and 3"
            " and anatomy_self <@ array['penis', 'vagina', 'breasts']",
            name="anatomy_self",
        ),
        CheckConstraint(
            "cardinality(anatomy_preference) between 1 and 3"
            " and anatomy_preference <@ array['penis', 'vagina', 'breasts']",
            name="anatomy_preference",
        ),
    )
    access = Access(read=AnyOf(Owner(), shown_at(*SharingLevel)), service=("SELECT",))
    on_erase = Delete()
    on_merge = MergedBy("merge_demographics")
    quota = Bound("One for each user.")


class LegalDocument(Base):
    """A version of a text that people agree to; the newest whose time has come is in force."""

    __tablename__ = "legal_documents"

    id: Mapped[str] = mapped_column(
        Computed("document_id || ':' || version", persisted=True), primary_key=True
    )
    document_id: Mapped[str]
    version: Mapped[str]
    title: Mapped[str]
    body: Mapped[str]
    is_required: Mapped[bool] = mapped_column(server_default=text("true"))
    effective_at: Mapped[datetime]
    sort_order: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        UniqueConstraint("document_id", "version"),
        CheckConstraint("length(body) <= 100000", name="body"),
        Index("ix_legal_documents_document_id_effective_at", "document_id", "effective_at"),
    )
    large: ClassVar = {"body": 400_000}
    access = Access(read=Public(), service=("SELECT",))


class Consent(Base):
    """That somebody agreed to a version of a document, and when; what they read is kept with it.

    Who withdraws it may agree again, which is another row: what was agreed to, and from when until
    when, stays known.
    """

    __tablename__ = "consents"

    id: Mapped[UuidKey]
    user_id: Mapped[OwnerId]
    document_id: Mapped[str]
    version: Mapped[str]
    created_at: Mapped[Timestamp]
    withdrawn_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("withdrawn_at >= created_at", name="withdrawn_at"),
        Index(
            "uq_consents_in_effect",
            "user_id",
            "document_id",
            "version",
            unique=True,
            postgresql_where=text("withdrawn_at is null"),
        ),
        ForeignKeyConstraint(
            ["document_id", "version"],
            ["legal_documents.document_id", "legal_documents.version"],
        ),
        Index("ix_consents_document_id_version", "document_id", "version"),
        Index("ix_consents_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(read=Owner(), service=("SELECT",))
    on_erase = Delete()
    on_merge = MergedBy("merge_consents")
    quota = Bound("One for each version of a document, and the ten withdrawn last of it.")
