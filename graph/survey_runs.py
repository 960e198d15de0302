"""What people do with surveys: begin, save answers, submit, give up; and set boundaries."""

from __future__ import annotations

from uuid import UUID

import strawberry

from db.core.errors import ErrorCode, Problems
from db.surveys import operations
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import noted_uuid, slug_from_global_id, uuid_from_global_id
from graph.shared.scalars import JSON
from graph.surveys import Boundary, BoundaryKind, SurveyForm, SurveyProfile, SurveyRun


@strawberry.input(description="A survey and how much of it to ask.")
class StartSurveyInput:
    survey_id: strawberry.ID = strawberry.field(description="The survey's global id or slug.")
    form: SurveyForm = strawberry.field(
        default=SurveyForm.FULL, description="How much is asked. It can be changed on the way."
    )


@strawberry.input(description="An answer to an item.")
class SurveyAnswerInput:
    item_id: str = strawberry.field(description="The item, such as `B3a`.")
    value: JSON | None = strawberry.field(
        description="1 to 7, `YES`, `MAYBE` or `NO`, or a list of options. Null takes it back."
    )


@strawberry.input(description="Answers to save in a run.")
class SaveSurveyAnswersInput:
    run_id: strawberry.ID = strawberry.field(description="The run's global id.")
    answers: list[SurveyAnswerInput] = strawberry.field(
        description="1 to 200; the last one of an item counts."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: saved once. 1 to 255 characters, kept 30 days."
    )


@strawberry.input(description="A run to make a profile of.")
class SubmitSurveyInput:
    run_id: strawberry.ID = strawberry.field(description="The run's global id.")


@strawberry.input(description="A run to give up.")
class AbandonSurveyInput:
    run_id: strawberry.ID = strawberry.field(description="The run's global id.")


@strawberry.input(description="A boundary of the caller's.")
class SetBoundaryInput:
    item_id: str = strawberry.field(
        description="An item that takes `YES`, `MAYBE` or `NO`, or a limit such as `impact`."
    )
    kind: BoundaryKind = strawberry.field(description="How firm it is from now on.")


@strawberry.type(description="Result of mutations that change a survey's run.")
class SurveyRunPayload(MutationPayload):
    survey_run: SurveyRun | None = strawberry.field(
        description="The run as it is now; null on errors."
    )


@strawberry.type(description="Result of `submitSurvey`.")
class SubmitSurveyPayload(MutationPayload):
    survey_profile: SurveyProfile | None = strawberry.field(
        description="The profile that was made; null on errors."
    )


@strawberry.type(description="Result of `setBoundary`.")
class SetBoundaryPayload(MutationPayload):
    boundary: Boundary | None = strawberry.field(
        description="The boundary as it is now; null on errors."
    )


def _run_id(given: str) -> UUID:
    return uuid_from_global_id(given, "surveyRun", "input", "runId")


async def start_survey(context: Context, input: StartSurveyInput) -> Outcome:
    """Begins a run, or goes on with one."""
    context.signed_in()
    command = operations.start(slug_from_global_id(input.survey_id, "survey"), input.form.name)
    return Outcome(command, {"survey_run": RESULT})


async def save_survey_answers(context: Context, input: SaveSurveyAnswersInput) -> Outcome:
    """Saves answers."""
    context.signed_in()
    problems = Problems()
    run_id = noted_uuid(problems, input.run_id, "surveyRun", "input", "runId")
    answers = [(answer.item_id, answer.value) for answer in input.answers]
    command = operations.save_answers(problems, run_id, answers, input.idempotency_key)
    return Outcome(command, {"survey_run": RESULT})


async def submit_survey(context: Context, input: SubmitSurveyInput) -> Outcome:
    """Makes a profile."""
    context.signed_in()
    return Outcome(operations.submit(_run_id(input.run_id)), {"survey_profile": RESULT})


async def abandon_survey(context: Context, input: AbandonSurveyInput) -> Outcome:
    """Gives a run up."""
    context.signed_in()
    return Outcome(operations.abandon(_run_id(input.run_id)), {"survey_run": RESULT})


async def set_boundary(context: Context, input: SetBoundaryInput) -> Outcome:
    """Sets a boundary."""
    context.signed_in()
    command = operations.set_boundary(input.item_id, input.kind.name)
    return Outcome(command, {"boundary": RESULT})


@strawberry.type
class SurveyRunsMutation:
    """Mutations on surveys."""

    start_survey: SurveyRunPayload | None = mutation(
        start_survey,
        StartSurveyInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.ONBOARDING_REQUIRED),
        description="Go on with the caller's run of a survey, or begin one. It begins with the "
        "answers that were submitted last, so that they can be edited. Guests may, too. This, "
        "saving and submitting take consent to every required document in force.",
    )
    save_survey_answers: SurveyRunPayload | None = mutation(
        save_survey_answers,
        SaveSurveyAnswersInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.ONBOARDING_REQUIRED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        description="Save answers in a run, all of them or none. Of two devices the one whose "
        "answer arrives last counts, item by item.",
    )
    submit_survey: SubmitSurveyPayload | None = mutation(
        submit_survey,
        SubmitSurveyInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.ONBOARDING_REQUIRED,
        ),
        description="Make the next version of the caller's profile of a run. Submitting it again "
        "gives the same profile. To edit answers, begin the survey again.",
    )
    abandon_survey: SurveyRunPayload | None = mutation(
        abandon_survey,
        AbandonSurveyInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        description="Give a run up: its answers go. So does one that nobody goes on with for 30 "
        "days.",
    )
    set_boundary: SetBoundaryPayload | None = mutation(
        set_boundary,
        SetBoundaryInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.ONBOARDING_REQUIRED),
        description="Set a boundary of the caller's, or lift one. It stays when a profile is made "
        "anew, unless an answer given after it is stricter. It takes consent to some version of "
        "each document in force.",
    )
