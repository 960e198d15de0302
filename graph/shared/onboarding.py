"""The steps that a newcomer takes, as the schema names them."""

from __future__ import annotations

from enum import Enum

import strawberry


@strawberry.enum(description="What a newcomer does next.")
class OnboardingStep(Enum):
    """Steps, in their order."""

    CONSENT = strawberry.enum_value("CONSENT", description="Agree to the documents in force.")
    DEMOGRAPHICS = strawberry.enum_value("DEMOGRAPHICS", description="Say who they are.")
    SURVEY = strawberry.enum_value("SURVEY", description="Fill in a survey, short or full.")
    DONE = strawberry.enum_value("DONE", description="Nothing more.")
