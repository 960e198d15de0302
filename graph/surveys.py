"""Surveys in the schema: what is asked, somebody's runs and answers, and the profiles they make."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from sqlalchemy import (
    ColumnElement,
    Float,
    FromClause,
    Integer,
    Numeric,
    Text,
    func,
    literal_column,
)

from db.surveys import tables
from db.surveys.tables import SurveyRunStatus
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    embedded,
    expression,
    global_id,
    related_row,
    related_rows,
    rows,
    state_enum,
)
from graph.engine.extending import extend
from graph.shared.relay import (
    Node,
)
from graph.shared.scalars import JSON

MOST_ITEMS, MOST_BOUNDARIES = 80, 80

state_enum(SurveyRunStatus)


@strawberry.enum(description="What kind of answer an item takes.")
class SurveyItemKind(Enum):
    """Kinds of items (from Attuned)."""

    SCALE = strawberry.enum_value("SCALE", description="A whole number, 1 disagree to 7 agree.")
    YES_MAYBE_NO = strawberry.enum_value("YES_MAYBE_NO", description="`YES`, `MAYBE` or `NO`.")
    CHECKLIST = strawberry.enum_value(
        "CHECKLIST", description="A list of the item's `options`; it may be empty."
    )


@strawberry.enum(description="Which side of a pair an item is.")
class SurveyItemSide(Enum):
    """Directions (from Attuned)."""

    NONE = strawberry.enum_value("NONE", description="None: it has no direction.")
    RECEIVE = strawberry.enum_value("RECEIVE", description="It is done to who answers.")
    GIVE = strawberry.enum_value("GIVE", description="Who answers does it.")
    SELF = strawberry.enum_value("SELF", description="Who answers shows themselves.")
    WATCH = strawberry.enum_value("WATCH", description="Who answers watches.")


@strawberry.enum(description="How much of a survey is asked.")
class SurveyForm(Enum):
    """Forms (from Attuned)."""

    SHORT = strawberry.enum_value("SHORT", description="Its ten questions that say most.")
    FULL = strawberry.enum_value("FULL", description="All of it.")


@strawberry.enum(description="A domain of intimacy.")
class SurveyDomain(Enum):
    """Domains (from Attuned), in the order of the radar."""

    SENSATION = "SENSATION"
    POWER = "POWER"
    CONNECTION = "CONNECTION"
    EXPLORATION = "EXPLORATION"
    VERBAL = "VERBAL"


@strawberry.enum(description="A score that is drawn as a bar.")
class SurveyMeasureName(Enum):
    """Measures (from Attuned; of arousal by the dual control model)."""

    SE = strawberry.enum_value("SE", description="How easily somebody is aroused.")
    SIS_P = strawberry.enum_value("SIS_P", description="How much worry about performance inhibits.")
    SIS_C = strawberry.enum_value(
        "SIS_C", description="How much worry about what follows inhibits."
    )
    POWER_TOP = strawberry.enum_value("POWER_TOP", description="How much somebody likes to lead.")
    POWER_BOTTOM = strawberry.enum_value(
        "POWER_BOTTOM", description="How much somebody likes to follow."
    )
    TRUTH = strawberry.enum_value("TRUTH", description="How open somebody is to talk.")


@strawberry.enum(description="The word for a measure of arousal.")
class ArousalLevel(Enum):
    """Words for shares up to 0.30, 0.55, 0.75 and 1."""

    LOW = "LOW"
    MODERATE_LOW = "MODERATE_LOW"
    MODERATE_HIGH = "MODERATE_HIGH"
    HIGH = "HIGH"


@strawberry.enum(description="Whether somebody leads or follows.")
class PowerOrientation(Enum):
    """Orientations (from Attuned)."""

    TOP = strawberry.enum_value("TOP", description="Leads.")
    BOTTOM = strawberry.enum_value("BOTTOM", description="Follows.")
    SWITCH = strawberry.enum_value("SWITCH", description="Both, about as much.")
    VERSATILE = strawberry.enum_value("VERSATILE", description="Neither much: undefined.")


@strawberry.enum(description="The word for how sure an orientation is.")
class PowerLevel(Enum):
    """Words for a confidence up to 0.30, 0.60, 0.85 and 1."""

    LOW = "LOW"
    MODERATE = "MODERATE"
    HIGH = "HIGH"
    VERY_HIGH = "VERY_HIGH"


@strawberry.enum(description="How firm a boundary is.")
class BoundaryKind(Enum):
    """Kinds of boundaries (from Attuned)."""

    HARD = strawberry.enum_value("HARD", description="Never.")
    SOFT = strawberry.enum_value("SOFT", description="Only perhaps: not below level X.")
    NONE = strawberry.enum_value(
        "NONE", description="No boundary, whatever answers would draw; chosen by the user."
    )


@strawberry.enum(description="Where a boundary comes from.")
class BoundarySource(Enum):
    """Sources of boundaries."""

    INFERRED = strawberry.enum_value("INFERRED", description="Drawn by the answers.")
    SET = strawberry.enum_value("SET", description="Set with `setBoundary`.")


@backed_by(tables.SurveyItem)
class SurveyItem:
    """What a survey asks, one answer each; the two sides of a pair are items of their own."""

    item_id: str = column(description="What answers name it by, such as `A1` or `B3a`.")
    question: str = column(description="The question it belongs to, such as `B3` for both sides.")
    section: str = column(
        description="The part of the survey, such as `arousal`; `survey.section.<section>` is the "
        "i18n key of its title."
    )
    kind: SurveyItemKind = column(description="What kind of answer it takes.")
    side: SurveyItemSide = column(description="Which side of a pair it is.")
    text_key: str = column(description="i18n key of the text; `translations` has it.")
    options: list[str] = column(
        description="What a checklist offers; `survey.limit.<option>` is the i18n key of each."
    )
    is_required: bool = column(description="Whether it must be answered before submitting.")
    is_short: bool = column(description="Whether the short form asks it.")


@backed_by(tables.Survey, prefix="survey")
class Survey(Node):
    """A version of a survey; versions stand side by side."""

    id: strawberry.ID = global_id("Global id; inputs also take the slug, such as `attuned-0.4`.")
    version: str = column(description="Its version, such as `0.4`.")
    title_key: str = column(description="i18n key of the title; `translations` has its texts.")
    description_key: str = column(description="i18n key of the description.")
    is_active: bool = column(
        description="Whether it can be begun. One that was withdrawn goes on for those in it."
    )
    items: list[SurveyItem] = related_rows(
        "survey_id", ("sort_order",), at_most=MOST_ITEMS, description="What it asks, in order."
    )


@backed_by(tables.SurveyAnswer)
class SurveyAnswer:
    """An answer, as it was saved last."""

    item_id: str = column(description="The item.")
    value: JSON = column(description="1 to 7, `YES`, `MAYBE` or `NO`, or a list of options.")
    score: float | None = column(description="The answer from 0 to 1; null for a list.")
    changed_at: datetime = column(description="When it was last given, also unchanged.")


@backed_by(tables.SurveyRun, prefix="surveyRun")
class SurveyRun(Node):
    """Somebody's way through a survey; any device of theirs may go on with it."""

    id: strawberry.ID = global_id()
    survey: Survey | None = related_row("survey_id", description="The survey.")
    form: SurveyForm = column(description="How much is asked.")
    status: SurveyRunStatus = column(description="How far it is.")
    item_count: int = column(description="How many items its form has.")
    answered_count: int = column(description="How many of them are answered.")
    created_at: datetime = column(description="When it was begun.")
    saved_at: datetime = column(description="When answers were last saved.")
    ended_at: datetime | None = column(description="When it was submitted or given up.")
    answers: list[SurveyAnswer] = related_rows(
        "run_id",
        ("item_id",),
        at_most=MOST_ITEMS,
        description="What is answered so far, by the items' ids.",
    )


@backed_by(tables.SurveyDomainScore)
class DomainScore:
    """How much a domain means to somebody."""

    domain: SurveyDomain = column(description="The domain.")
    score: int = column(description="0 to 100.")


def _angle(point: FromClause) -> ColumnElement[Any]:
    return point.c.sort_order * literal_column("72", Integer)


def _shift(along: Any, sign: str) -> Any:
    """A coordinate of a point: its share of the radius, along one axis, to four decimals."""

    def shift(point: FromClause) -> ColumnElement[Any]:
        share = point.c.score * literal_column(f"{sign}0.01::double precision", Float)
        exact = share * along(func.radians(_angle(point)))
        # Never a negative zero.
        return func.round(exact.cast(Numeric), literal_column("4")).cast(Float)

    return shift


@backed_by(tables.SurveyDomainScore)
class RadarPoint:
    """A point of the radar, ready to plot: its centre is 0, its radius 1, and y points down."""

    domain: SurveyDomain = column(description="The domain.")
    label_key: str = expression(
        lambda point: literal_column("'survey.domain.'", Text).concat(func.lower(point.c.domain)),
        description="i18n key of the axis' label.",
    )
    score: int = column(description="0 to 100: how far out it is.")
    angle: int = expression(_angle, description="Degrees, clockwise from the top.")
    x: float = expression(_shift(func.sin, ""), description="From -1, left, to 1, right.")
    y: float = expression(_shift(func.cos, "-"), description="From -1, top, to 1, bottom.")


@backed_by(tables.SurveyMeasure)
class SurveyBar:
    """A bar, ready to draw."""

    measure: SurveyMeasureName = column(description="What it shows.")
    label_key: str = expression(
        lambda bar: literal_column("'survey.measure.'", Text).concat(func.lower(bar.c.measure)),
        description="i18n key of its label.",
    )
    score: float | None = column(
        description="Its length, 0 to 100; null where nothing of it was asked."
    )
    level: ArousalLevel | None = column(description="The word for it, where it is of arousal.")


@backed_by(tables.SurveyProfile)
class PowerProfile:
    """Whether somebody leads or follows, and how surely."""

    orientation: PowerOrientation = column(
        "power_orientation", description="Whether they lead or follow."
    )
    confidence: float = column("power_confidence", description="How surely, 0 to 1.")
    level: PowerLevel = column("power_level", description="The word for that.")
    top_percent: int = column(
        description="Where a slider stands between following (0) and leading (100)."
    )


@backed_by(tables.Boundary, prefix="boundary")
class Boundary(Node):
    """What somebody will not do, or only perhaps."""

    id: strawberry.ID = global_id()
    item_id: str = column(description="An item such as `B7a`, or a limit such as `impact`.")
    kind: BoundaryKind = column(description="How firm it is.")
    source: BoundarySource = column(description="Where it comes from.")
    changed_at: datetime = column(description="When it was last changed.")


@backed_by(tables.SurveyProfile, prefix="surveyProfile")
class SurveyProfile(Node):
    """What a submitted run says of somebody. Editing answers makes the next version."""

    id: strawberry.ID = global_id()
    version: int = column(description="1 for the first.")
    survey: Survey | None = related_row("survey_id", description="The survey it was made of.")
    run: SurveyRun | None = related_row("run_id", description="The run, with its answers.")
    is_current: bool = column(description="Whether it is the newest.")
    created_at: datetime = column(description="When it was made.")
    archetype: str = expression(
        lambda profile: profile.c.archetypes[literal_column("1", Integer)],
        description="The archetype that fits best, such as `EXPLORER`; "
        "`survey.archetype.<name in lower case>.name` and `….description` are its i18n keys.",
    )
    archetypes: list[str] = column(
        description="It and up to two more that fit nearly as well, the best first."
    )
    is_balanced: bool = column(
        description="Whether adventure, connection, intensity and confidence are close together."
    )
    tags: list[str] = column(
        description="What somebody is open to, such as `OPEN_TO_GENTLE`; `survey.tag.<in lower "
        "case>` is the i18n key of each."
    )
    power_orientation: PowerOrientation = column(description="Whether they lead or follow.")
    power: PowerProfile = embedded(description="The same, with how surely.")
    domain_scores: list[DomainScore] = related_rows(
        "profile_id", ("sort_order",), at_most=5, description="How much each domain means to them."
    )
    radar: list[RadarPoint] = related_rows(
        "profile_id", ("sort_order",), at_most=5, description="The same, ready to plot."
    )
    bars: list[SurveyBar] = related_rows(
        "profile_id", ("sort_order",), at_most=6, description="Arousal, power and openness."
    )
    boundaries: list[Boundary] = related_rows(
        "profile_id",
        ("item_id",),
        at_most=MOST_BOUNDARIES,
        description="The boundaries as they are now; none in a version that is not the newest.",
    )


extend(
    User,
    survey_runs=connection(
        SurveyRun, NEWEST_FIRST, description="The user's runs of surveys, newest first."
    ),
    survey_profile=related_row(
        "id",
        "current_of",
        returns=SurveyProfile | None,
        description="The newest version of the user's profile; null before a survey is submitted.",
    ),
    survey_profiles=connection(
        SurveyProfile,
        NEWEST_FIRST,
        description="The versions of the user's profile, newest first: at most 20.",
    ),
    boundaries=related_rows(
        "user_id",
        ("item_id",),
        at_most=MOST_BOUNDARIES,
        returns=list[Boundary],
        description="The user's boundaries, by item and limit, with and without a profile.",
    ),
)


@strawberry.type
class SurveysQuery:
    """Queries on surveys."""

    surveys: list[Survey] = rows(
        ("sort_order", "id"),
        at_most=10,
        description="The surveys, each version by itself; for everybody.",
    )
