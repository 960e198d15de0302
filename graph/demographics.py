"""Who somebody says they are and what they agreed to, in the schema; and how far a newcomer is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    Text,
    and_,
    case,
    func,
    literal_column,
    select,
    tuple_,
)

from db.accounts import tables as accounts
from db.core.commands import SqlFunction
from db.core.errors import ErrorCode, Problems
from db.surveys import operations, tables
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    embedded,
    expression,
    global_id,
    mutation,
    related_row,
    rows,
)
from graph.engine.execution.outcomes import ACTOR, RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.onboarding import OnboardingStep
from graph.shared.relay import Node


@strawberry.enum(description="Which gender somebody says they are.")
class PersonGender(Enum):
    """Genders (from Attuned)."""

    WOMAN = "WOMAN"
    MAN = "MAN"
    NON_BINARY = "NON_BINARY"
    RATHER_NOT_SAY = strawberry.enum_value("RATHER_NOT_SAY", description="Fits everyone.")


@strawberry.enum(description="Whom somebody is attracted to.")
class SexualOrientation(Enum):
    """Orientations (from Attuned)."""

    STRAIGHT = "STRAIGHT"
    GAY = "GAY"
    BISEXUAL = "BISEXUAL"
    RATHER_NOT_SAY = strawberry.enum_value("RATHER_NOT_SAY", description="Fits everyone.")


@strawberry.enum(description="How somebody lives their relationships.")
class RelationshipStructure(Enum):
    """Structures (from Attuned)."""

    MONOGAMOUS = "MONOGAMOUS"
    OPEN = "OPEN"
    RATHER_NOT_SAY = strawberry.enum_value("RATHER_NOT_SAY", description="Counts as open.")


@strawberry.enum(description="A part of the body that activities may need.")
class Anatomy(Enum):
    """Anatomy (from Attuned); tables hold it in lower case."""

    PENIS = "PENIS"
    VAGINA = "VAGINA"
    BREASTS = "BREASTS"


@backed_by(tables.Demographics, prefix="demographics")
class Demographics(Node):
    """Who somebody says they are."""

    id: strawberry.ID = global_id()
    name: str = column(description="What others call them, 1 to 100 characters.")
    gender: PersonGender = column(description="Their gender.")
    orientation: SexualOrientation = column(description="Whom they are attracted to.")
    relationship: RelationshipStructure = column(description="How they live relationships.")
    updated_at: datetime = column(description="When it was last changed.")

    @computed("anatomy_self", description="What they have.")
    def anatomy_self(self: Any) -> list[Anatomy]:
        """Kept in lower case."""
        return [name.upper() for name in self.anatomy_self]

    @computed("anatomy_preference", description="What they like in others.")
    def anatomy_preference(self: Any) -> list[Anatomy]:
        """Kept in lower case."""
        return [name.upper() for name in self.anatomy_preference]


def _is_in_force(document: FromClause) -> ColumnElement[Any]:
    """Whether its time has come, and that of no other version of it after it."""
    other = tables.LegalDocument.__table__.alias()
    is_newer = tuple_(other.c.effective_at, other.c.version) > tuple_(
        document.c.effective_at, document.c.version
    )
    replaced = select(other.c.id).where(
        other.c.document_id == document.c.document_id, other.c.effective_at <= func.now(), is_newer
    )
    return and_(document.c.effective_at <= func.now(), ~replaced.exists())


@backed_by(tables.LegalDocument, prefix="legalDocument")
class LegalDocument(Node):
    """A version of a text that people agree to."""

    id: strawberry.ID = global_id()
    document_id: str = column(description="Which text, such as `terms`.")
    version: str = column(description="Its version, as `recordConsent` takes it.")
    title: str = column(description="The title.")
    body: str = column(description="The text, in Markdown.")
    is_required: bool = column(description="Whether newcomers have to agree to it.")
    effective_at: datetime = column(description="From when it is in force.")
    is_in_force: bool = expression(
        _is_in_force, description="Whether it is the version that counts now."
    )


@backed_by(tables.Consent, prefix="consent")
class Consent(Node):
    """That somebody agreed to a version of a document, and whether that still counts."""

    id: strawberry.ID = global_id()
    document_id: str = column(description="Which text.")
    version: str = column(description="Which version of it.")
    created_at: datetime = column(description="When they agreed.")
    withdrawn_at: datetime | None = column(
        description="When they withdrew it, from when on it does not count; null while it does."
    )


def _whether(function: SqlFunction[bool]) -> Callable[[FromClause], ColumnElement[Any]]:
    """What a function says of a user."""
    return lambda user: function.of(user.c.id, type_=Boolean())


def _may_play(user: FromClause) -> ColumnElement[Any]:
    return and_(
        _whether(operations.HAS_CONSENTED)(user), _whether(operations.HAS_DEMOGRAPHICS)(user)
    )


def _next_step(user: FromClause) -> ColumnElement[Any]:
    steps = {
        OnboardingStep.CONSENT: operations.HAS_CONSENTED,
        OnboardingStep.DEMOGRAPHICS: operations.HAS_DEMOGRAPHICS,
        OnboardingStep.SURVEY: operations.HAS_SURVEY_PROFILE,
    }
    named = {one: literal_column(f"'{one.name}'", Text) for one in OnboardingStep}
    undone = [(~_whether(function)(user), named[one]) for one, function in steps.items()]
    return case(*undone, else_=named[OnboardingStep.DONE])


@backed_by(accounts.User)
class Onboarding:
    """How far a newcomer is."""

    has_consented: bool = expression(
        _whether(operations.HAS_CONSENTED),
        description="Whether they agreed to every required document in force.",
    )
    can_play: bool = expression(
        _may_play,
        description="Whether they agreed and said who they are, anatomy included: who has not is "
        "refused by `startPlaySession` and `confirmPlaySession`. Level X takes a survey or a "
        "boundary, too.",
    )
    is_personalized: bool = expression(
        _whether(operations.HAS_SURVEY_PROFILE),
        description="Whether they have a profile by which activities are chosen.",
    )
    next_step: OnboardingStep = expression(_next_step, description="What is to be done next.")


extend(
    User,
    demographics=related_row(
        "id",
        "user_id",
        returns=Demographics | None,
        description="Who the user says they are; null before `updateDemographics`.",
    ),
    consents=connection(
        Consent, NEWEST_FIRST, description="What the user agreed to, newest first."
    ),
    onboarding=embedded(returns=Onboarding, description="How far the user is as a newcomer."),
)


@stored_in(tables.Demographics, description="Changes to who the caller is; what is left out stays.")
class UpdateDemographicsInput:
    name: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="1 to 100 characters. Needed the first time, as the anatomy is.",
    )
    gender: PersonGender | None = strawberry.field(
        default=strawberry.UNSET, description="RATHER_NOT_SAY until it is given."
    )
    orientation: SexualOrientation | None = strawberry.field(
        default=strawberry.UNSET, description="RATHER_NOT_SAY until it is given."
    )
    relationship: RelationshipStructure | None = strawberry.field(
        default=strawberry.UNSET, description="RATHER_NOT_SAY until it is given."
    )
    anatomy_self: list[Anatomy] | None = strawberry.field(
        default=strawberry.UNSET, description="What they have, at least one."
    )
    anatomy_preference: list[Anatomy] | None = strawberry.field(
        default=strawberry.UNSET, description="What they like in others, at least one."
    )


@strawberry.input(description="What the caller agrees to.")
class RecordConsentInput:
    document_id: str = strawberry.field(description="Which text, such as `terms`.")
    version: str = strawberry.field(description="The version that was shown to them.")


@strawberry.input(description="What the caller does not agree to any more.")
class WithdrawConsentInput:
    document_id: str = strawberry.field(description="Which text, such as `ai-activities`.")


@strawberry.type(description="Result of `updateDemographics`.")
class DemographicsPayload(MutationPayload):
    demographics: Demographics | None = strawberry.field(
        description="Who the caller is, as it is now; null on errors."
    )


@strawberry.type(description="Result of `recordConsent` and `withdrawConsent`.")
class ConsentPayload(MutationPayload):
    consent: Consent | None = strawberry.field(
        description="The consent as it is now, with when it was given first; null on errors."
    )


async def update_demographics(context: Context, input: UpdateDemographicsInput) -> Outcome:
    """Changes who the caller is."""
    context.signed_in()
    changes = {name: _plain(value) for name, value in given(input).items()}
    command = operations.update_demographics(Problems(nulls(input)), changes)
    return Outcome(command, {"demographics": ACTOR})


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [one.name.lower() for one in value]
    return value.value if isinstance(value, Enum) else value


async def record_consent(context: Context, input: RecordConsentInput) -> Outcome:
    """Records what the caller agrees to."""
    context.signed_in()
    command = operations.record_consent(input.document_id, input.version)
    return Outcome(command, {"consent": RESULT})


async def withdraw_consent(context: Context, input: WithdrawConsentInput) -> Outcome:
    """Withdraws what the caller agreed to."""
    context.signed_in()
    return Outcome(operations.withdraw_consent(input.document_id), {"consent": RESULT})


@strawberry.type
class DemographicsQuery:
    """Queries on what people agree to."""

    legal_documents: list[LegalDocument] = rows(
        ("sort_order", "document_id", "version"),
        at_most=20,
        description="The texts that people agree to, every version; for everybody.",
    )


@strawberry.type
class DemographicsMutation:
    """Mutations on who people are and what they agree to."""

    update_demographics: DemographicsPayload | None = mutation(
        update_demographics,
        UpdateDemographicsInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.ONBOARDING_REQUIRED),
        description="Say who the caller is, or change it: after they agreed to the documents in "
        "force. The first time it takes a name and anatomy on both sides; then they may play.",
    )
    record_consent: ConsentPayload | None = mutation(
        record_consent,
        RecordConsentInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Record that the caller agrees to a version of a document. Again it changes "
        "nothing: the first time counts.",
    )
    withdraw_consent: ConsentPayload | None = mutation(
        withdraw_consent,
        WithdrawConsentInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Withdraw the caller's consent to a document, to every version of it, at once. "
        "Without `ai-activities` an AI writes nothing more for their sessions, and what it wrote "
        "is not drawn. Without a document that has to be agreed to, they leave their play sessions "
        "and can say nothing more of themselves until they agree again. What is stored stays until "
        "they change or delete it. Again it changes nothing more.",
    )
