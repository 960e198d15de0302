"""Analyses of profiles in the schema: asking for one, and watching it end."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.analyses import operations, tables
from db.core.errors import ErrorCode, Problems
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    embedded,
    global_id,
    live,
    mutation,
    reference,
    related_row,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.profiles import Profile
from graph.shared.context import Context
from graph.shared.inputs import stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, noted_uuid
from graph.shared.scalars import JSON
from graph.shared.switches import require_ai

state_enum(tables.AnalysisStatus)


@backed_by(tables.ProfileAnalysis)
class ProfileAnalysisError:
    """Why an analysis failed."""

    code: ErrorCode = column("error_code", description="For programs to read.")
    message: str = column("error_message", description="For people to read.")


@backed_by(tables.ProfileAnalysis, prefix="profileAnalysis")
class ProfileAnalysis(Node):
    """One analysis of a profile."""

    id: strawberry.ID = global_id()
    profile: Profile | None = related_row("profile_id", description="The profile as it is now.")
    profile_id: strawberry.ID = reference(
        "profile_id", "profile", description="The profile's global id."
    )
    status: tables.AnalysisStatus = column(description="Where it stands.")
    result: JSON | None = column(description="What was found; null before.")
    credits_charged: int = column(description="Credits spent on it.")
    made_offline: bool = column(description="Whether it was made without any AI.")
    error: ProfileAnalysisError | None = embedded(
        lambda row: row.c.error_code.is_not(None), description="Why it failed; null otherwise."
    )
    created_at: datetime = column(description="When it was asked for.")
    finished_at: datetime | None = column(description="When it ended.")


extend(
    Profile,
    analyses=connection(
        ProfileAnalysis,
        NEWEST_FIRST,
        key="profile_id",
        description="Its analyses by the server, newest first.",
    ),
)


@stored_in(tables.ProfileAnalysis, beside=("idempotency_key",), description="A profile to analyse.")
class AnalyzeProfileInput:
    profile_id: strawberry.ID = strawberry.field(description="The profile's global id.")
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same analysis again, paid once. 1 to 255 "
        "characters, kept 30 days."
    )


@strawberry.type(description="Result of `analyzeProfile`.")
class AnalyzeProfilePayload(MutationPayload):
    analysis: ProfileAnalysis | None = strawberry.field(
        description="The analysis, QUEUED; follow it with `analysisUpdated`."
    )


async def analyze_profile(context: Context, input: AnalyzeProfileInput) -> Outcome:
    """Holds credits and has a worker analyse the profile."""
    context.signed_in()
    require_ai(context)
    problems = Problems()
    profile_id = noted_uuid(problems, input.profile_id, "profile", "input", "profileId")
    command = operations.analyze(
        problems, profile_id=profile_id, idempotency_key=input.idempotency_key
    )
    return Outcome(command, {"analysis": RESULT})


@strawberry.type
class AnalysesMutation:
    """Mutations on analyses."""

    analyze_profile: AnalyzeProfilePayload | None = mutation(
        analyze_profile,
        AnalyzeProfileInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.AI_DISABLED,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.QUOTA_EXCEEDED,
            ErrorCode.INSUFFICIENT_CREDITS,
            ErrorCode.DAILY_LIMIT_REACHED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_api_keys=True,
        description="Have a profile analysed from what is kept of it: its picture, what is "
        "known, its chat. What is found takes the place of the same parts of the profile's "
        "`analysis`, and the others stay. Credits are held now, spent on success, and given back "
        "on failure. INVALID_STATE while it is being analysed.",
    )


@strawberry.type(description="An analysis after a change.")
class AnalysisUpdated:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    analysis: ProfileAnalysis = strawberry.field(
        description="The analysis after the change; `result` is as it is when the item is sent."
    )


@strawberry.type
class AnalysesSubscription:
    """Subscriptions on analyses."""

    analysis_updated: AnalysisUpdated = live(
        "profile_analysis.updated",
        "analysis",
        entity=True,
        description="One analysis of the caller's: as it is now, then after every change.",
    )
