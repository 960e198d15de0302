"""Activities in the schema: what admins see and change of the bank, and more that an AI writes."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry

from db.activities import operations, tables
from db.core.errors import ErrorCode, Problems
from graph.engine.declare import backed_by, column, global_id, mutation, root_connection
from graph.engine.execution.outcomes import ACTOR, RESULT, Outcome, Ref
from graph.play import PlayLevel
from graph.play_moves import PlaySessionPayload
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, Node, slug_from_global_id, uuid_from_global_id
from graph.shared.scalars import JSON
from graph.shared.switches import require_ai

_FOR_ADMINS = "Sent again it changes nothing more. For admins; FORBIDDEN for others."


@strawberry.enum(description="Whether an activity is a question or an action.")
class ActivityKind(Enum):
    """Kinds."""

    TRUTH = strawberry.enum_value("TRUTH", description="A question to answer.")
    DARE = strawberry.enum_value("DARE", description="Something to do.")


@strawberry.enum(description="For how many players an activity is.")
class ActivityAudience(Enum):
    """Audiences."""

    SOLO = strawberry.enum_value("SOLO", description="For who plays alone.")
    COUPLES = strawberry.enum_value("COUPLES", description="For two.")
    GROUPS = strawberry.enum_value("GROUPS", description="For three and more.")
    ALL = strawberry.enum_value(
        "ALL",
        description="For any number: who plays alone is given it if its text has no {partner}.",
    )


@strawberry.enum(description="What the player whose turn it is does in an activity.")
class ActivityPowerRole(Enum):
    """Roles."""

    NEUTRAL = strawberry.enum_value("NEUTRAL", description="Nobody leads.")
    TOP = strawberry.enum_value("TOP", description="They lead.")
    BOTTOM = strawberry.enum_value("BOTTOM", description="They follow.")
    SWITCH = strawberry.enum_value("SWITCH", description="Both do both.")


@strawberry.enum(description="Where an activity comes from.")
class ActivitySource(Enum):
    """Sources."""

    BUNDLED = strawberry.enum_value("BUNDLED", description="It came with the product.")
    IMPORTED = strawberry.enum_value("IMPORTED", description="`tallygraph import activities`.")
    ADMIN = strawberry.enum_value("ADMIN", description="An admin added it.")
    AI = strawberry.enum_value("AI", description="An AI wrote it for one play session.")


@strawberry.enum(description="What came of asking an AI for activities.")
class ActivityGenerationOutcome(Enum):
    """Outcomes."""

    ANSWERED = strawberry.enum_value("ANSWERED", description="It answered.")
    FAILED = strawberry.enum_value("FAILED", description="It could not, at that time.")
    REFUSED = strawberry.enum_value("REFUSED", description="It would not.")
    TIMED_OUT = strawberry.enum_value("TIMED_OUT", description="It took too long.")


@backed_by(tables.Activity, prefix="activity")
class Activity(Node):
    """A truth or a dare that players can be given. Admins see it, nobody else."""

    id: strawberry.ID = global_id()
    kind: ActivityKind = column(description="TRUTH or DARE; never changes.")
    level: PlayLevel = column(description="The lowest level of sessions that it is drawn in.")
    intensity: int = column(description="How much it asks of a player, 1 to 5.")
    text: str = column(
        description="What to answer or do: {active} stands for whose turn it is, {partner} for the "
        "other one. It never changes; another text is another activity."
    )
    themes: list[str] = column(description="What it is about, the main theme first.")
    audience: ActivityAudience = column(description="For how many players it is.")
    limit_keys: list[str] = column(description="The limits of the survey that it touches.")
    needs_anatomy_active: list[str] = column(description="What whose turn it is must have.")
    needs_anatomy_partner: list[str] = column(description="What the other one must have.")
    power_role: ActivityPowerRole = column(description="What whose turn it is does in it.")
    preference_keys: list[str] = column(
        description="Items of the survey that it is about, as whose turn it is answers them."
    )
    domains: list[str] = column(description="The domains of the survey that it belongs to.")
    source: ActivitySource = column(description="Where it comes from.")
    is_active: bool = column(description="Whether it can be drawn.")
    created_at: datetime = column(description="When it was added.")


@backed_by(tables.ActivityGenerationLog, prefix="activityGenerationLog")
class ActivityGenerationLog(Node):
    """One request to an AI for activities of a play session, and what came of it."""

    id: strawberry.ID = global_id()
    provider: str = column(description="Who was asked.")
    model: str = column(description="Which model.")
    level: PlayLevel = column(description="The session's level.")
    prompt: str = column(description="What was asked; it names nobody.")
    answer: str | None = column(description="What was answered; null without an answer.")
    outcome: ActivityGenerationOutcome = column(description="What came of it.")
    approved_count: int = column(description="Activities that passed every check and were kept.")
    refused_count: int = column(description="Activities that did not, or were known already.")
    reasons: JSON = column(description="Why, each with its place in the answer.")
    duration_milliseconds: int = column(description="How long it took.")
    usage: JSON = column(description="What the provider says it used, such as tokens.")
    cost_micro_usd: int = column(
        description="What the provider charges, in millionths of a US dollar."
    )
    created_at: datetime = column(description="When it ended.")


@strawberry.type
class ActivitiesQuery:
    """Queries on activities, for admins."""

    activities: Connection[Activity] | None = root_connection(
        Activity,
        ("-created_at", "-id"),
        description="Every activity, those that are switched off too, newest first. For admins; "
        "FORBIDDEN for others.",
    )
    activity_generation_logs: Connection[ActivityGenerationLog] | None = root_connection(
        ActivityGenerationLog,
        ("-created_at", "-id"),
        description="Every request to an AI for activities, newest first. Kept for 90 days. For "
        "admins; FORBIDDEN for others.",
    )


def _left_out(description: str) -> Any:
    return strawberry.field(default=strawberry.UNSET, description=description)


_LEVEL = "The lowest level of sessions that it is drawn in."
_INTENSITY = "How much it asks of a player, 1 to 5."
_THEMES = "One to ten slugs such as long-talks, the main one first."
_ANATOMY = "Some of `penis`, `vagina` and `breasts`"


@stored_in(tables.Activity, description="A new activity of the bank.")
class CreateActivityInput:
    kind: ActivityKind = strawberry.field(description="TRUTH or DARE.")
    level: PlayLevel = strawberry.field(description=_LEVEL)
    intensity: int = strawberry.field(description=_INTENSITY)
    text: str = strawberry.field(
        description="1 to 1,000 characters; {active} stands for whose turn it is, {partner} for "
        "the other one."
    )
    themes: list[str] = strawberry.field(description=_THEMES)
    audience: ActivityAudience | None = _left_out("For how many players it is; ALL without it.")
    limit_keys: list[str] | None = _left_out("The limits that it touches; none without it.")
    needs_anatomy_active: list[str] | None = _left_out(f"{_ANATOMY}: what whose turn it is needs.")
    needs_anatomy_partner: list[str] | None = _left_out(f"{_ANATOMY}: what the other one needs.")
    power_role: ActivityPowerRole | None = _left_out(
        "What whose turn it is does; NEUTRAL without it."
    )
    preference_keys: list[str] | None = _left_out(
        "Items of the survey that it is about, such as B3a; none without it."
    )
    domains: list[str] | None = _left_out("Domains of the survey; none without it.")


@stored_in(tables.Activity, description="Changes to an activity; what is left out stays.")
class UpdateActivityInput:
    id: strawberry.ID = strawberry.field(description="The activity's global id.")
    level: PlayLevel | None = _left_out(_LEVEL)
    intensity: int | None = _left_out(_INTENSITY)
    themes: list[str] | None = _left_out(_THEMES)
    audience: ActivityAudience | None = _left_out("For how many players it is.")
    limit_keys: list[str] | None = _left_out("The limits that it touches.")
    needs_anatomy_active: list[str] | None = _left_out(f"{_ANATOMY}: what whose turn it is needs.")
    needs_anatomy_partner: list[str] | None = _left_out(f"{_ANATOMY}: what the other one needs.")
    power_role: ActivityPowerRole | None = _left_out("What whose turn it is does.")
    preference_keys: list[str] | None = _left_out("Items of the survey that it is about.")
    domains: list[str] | None = _left_out("Domains of the survey.")
    is_active: bool | None = _left_out("Whether it can be drawn.")


@strawberry.input(description="Which activity to switch off.")
class RemoveActivityInput:
    id: strawberry.ID = strawberry.field(description="The activity's global id.")


@strawberry.input(description="Which play session more activities are for.")
class RequestActivitiesInput:
    session_id: strawberry.ID = strawberry.field(description="The session's global id.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Same key, same input: asked once. 1 to 255 characters, kept 30 days. Null is "
        "as good as leaving it out.",
    )


@strawberry.type(description="Result of mutations of admins on an activity.")
class ActivityPayload(MutationPayload):
    activity: Activity | None = strawberry.field(
        description="The activity as it is now; null on errors, and where there is none."
    )


async def create_activity(context: Context, input: CreateActivityInput) -> Outcome:
    """Adds an activity."""
    context.signed_in()
    command = operations.create(Problems(nulls(input)), given(input))
    return Outcome(command, {"activity": RESULT})


async def update_activity(context: Context, input: UpdateActivityInput) -> Outcome:
    """Changes an activity."""
    context.signed_in()
    key = slug_from_global_id(input.id, "activity")
    return Outcome(
        operations.update(key, Problems(nulls(input)), given(input)), {"activity": RESULT}
    )


async def remove_activity(context: Context, input: RemoveActivityInput) -> Outcome:
    """Switches an activity off."""
    context.signed_in()
    key = slug_from_global_id(input.id, "activity")
    return Outcome(operations.remove(key), {"activity": RESULT})


async def request_activities(context: Context, input: RequestActivitiesInput) -> Outcome:
    """Has an AI asked for more activities."""
    require_ai(context)
    actor = context.signed_in()
    session_id = uuid_from_global_id(input.session_id, "playSession", "input", "sessionId")
    return Outcome(
        operations.request(session_id, input.idempotency_key),
        {"play_session": RESULT, "daily_limit": ACTOR},
        refused_rows={"play_session": Ref(session_id), "daily_limit": Ref(actor.user_id)},
    )


@strawberry.type
class ActivitiesMutation:
    """Mutations on activities."""

    create_activity: ActivityPayload | None = mutation(
        create_activity,
        CreateActivityInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        for_admins=True,
        description="Add an activity to the bank; one with the same kind and text is changed. "
        f"`tallygraph import activities` brings many. {_FOR_ADMINS}",
    )
    update_activity: ActivityPayload | None = mutation(
        update_activity,
        UpdateActivityInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND),
        for_admins=True,
        description="Change an activity; importing it again leaves what an admin has set. "
        f"{_FOR_ADMINS}",
    )
    remove_activity: ActivityPayload | None = mutation(
        remove_activity,
        RemoveActivityInput,
        errors=(),
        for_admins=True,
        description="Switch an activity off: it is drawn no more, and what was played keeps it. "
        f"What is not there is no error. {_FOR_ADMINS}",
    )
    request_activities: PlaySessionPayload | None = mutation(
        request_activities,
        RequestActivitiesInput,
        errors=(
            ErrorCode.NOT_FOUND,
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INVALID_STATE,
            ErrorCode.CONFIRMATION_REQUIRED,
            ErrorCode.ONBOARDING_REQUIRED,
            ErrorCode.AI_DISABLED,
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        description="Have an AI write more activities for a session alone, as happens when it "
        "begins. They are checked against its level, boundaries and anatomy, and drawn like all "
        "others once they are there. Free of credits; at most three times for a session and twenty "
        "times a day, and not for guests alone. Only where every player with an account agreed to "
        "the document `ai-activities` in force. PROVIDER_NOT_CONFIGURED where no AI writes.",
    )
