"""What provokes the errors of mutations on surveys, demographics and consents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from ..attuned import SURVEY, onboard, short_answers
from .play_errors import onboarded

NO_RUN = f"surveyRun_{UUID(int=0)}"
SAVE = """mutation($run: ID!, $answers: [SurveyAnswerInput!]!) {
  saveSurveyAnswers(input: {runId: $run, answers: $answers, idempotencyKey: "used"}) {
    errors { code } } }"""
SUBMIT = "mutation($run: ID!) { submitSurvey(input: {runId: $run}) { errors { code } } }"


async def run_of(stage: Any) -> str:
    """A run of the user's that is in progress."""
    await onboard(stage.owner, stage.actor.user_id)
    answer = await stage.ask(
        f'mutation {{ startSurvey(input: {{surveyId: "{SURVEY}", form: SHORT}}) {{'
        " surveyRun { id } } }",
        actor=stage.actor,
    )
    return str(answer["data"]["startSurvey"]["surveyRun"]["id"])


def of_run(template: str, *, saved: bool = False, submitted: bool = False) -> Any:
    """An input that names a run of the user's (`%r`), saved with the key `used` or submitted."""

    async def make(stage: Any) -> str:
        run = await run_of(stage)
        variables = {"run": run, "answers": short_answers()}
        if saved or submitted:
            await stage.ask(SAVE, variables, actor=stage.actor)
        if submitted:
            await stage.ask(SUBMIT, {"run": run}, actor=stage.actor)
        return template.replace("%r", run).replace("%k", str(uuid4()))

    return make


def disagreeing(template: str) -> Any:
    """An input of somebody who has agreed to nothing, with a run that was begun before."""

    async def make(stage: Any) -> str:
        run = await run_of(stage)
        await stage.owner.execute("delete from consents where user_id = $1", stage.actor.user_id)
        return template.replace("%r", run).replace("%k", str(uuid4()))

    return make


Provocation = str | Callable[[Any], Awaitable[str]]
ANSWER = '{{runId: "%r", answers: [{{itemId: "{item}", value: 1}}], idempotencyKey: "{key}"}}'
SAVED = ANSWER.format(item="A1", key="%k")
PROVOKED: dict[str, dict[str, Provocation]] = {
    "startSurvey": {
        "NOT_FOUND": onboarded('{surveyId: "nothing"}'),
        "ONBOARDING_REQUIRED": disagreeing(f'{{surveyId: "{SURVEY}"}}'),
    },
    "saveSurveyAnswers": {
        "BAD_USER_INPUT": of_run(ANSWER.format(item="B99", key="%k")),
        "NOT_FOUND": SAVED.replace("%r", NO_RUN).replace("%k", "k"),
        "INVALID_STATE": of_run(SAVED, submitted=True),
        "ONBOARDING_REQUIRED": disagreeing(SAVED),
        "IDEMPOTENCY_CONFLICT": of_run(ANSWER.format(item="A1", key="used"), saved=True),
    },
    "submitSurvey": {
        "BAD_USER_INPUT": of_run('{runId: "%r"}'),
        "NOT_FOUND": f'{{runId: "{NO_RUN}"}}',
        "ONBOARDING_REQUIRED": disagreeing('{runId: "%r"}'),
    },
    "abandonSurvey": {
        "NOT_FOUND": f'{{runId: "{NO_RUN}"}}',
        "INVALID_STATE": of_run('{runId: "%r"}', submitted=True),
    },
    "setBoundary": {
        "BAD_USER_INPUT": '{itemId: "nothing", kind: HARD}',
        "ONBOARDING_REQUIRED": disagreeing('{itemId: "impact", kind: HARD}'),
    },
    "updateDemographics": {
        "BAD_USER_INPUT": '{name: ""}',
        "ONBOARDING_REQUIRED": disagreeing("{gender: WOMAN}"),
    },
    "recordConsent": {"NOT_FOUND": '{documentId: "nothing", version: "1"}'},
    "withdrawConsent": {"NOT_FOUND": '{documentId: "nothing"}'},
}


async def abandoned_run(stage: Any) -> str:
    """An input that names a run that the user gave up."""
    run = await run_of(stage)
    abandon = f'mutation {{ abandonSurvey(input: {{runId: "{run}"}}) {{ errors {{ code }} }} }}'
    await stage.ask(abandon, actor=stage.actor)
    return f'{{runId: "{run}"}}'


PROVOKED["submitSurvey"]["INVALID_STATE"] = abandoned_run
