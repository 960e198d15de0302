// The tabs where the server has a survey: Attuned's first evening, from signing up to a game.
const json = (value: unknown) => JSON.stringify(value, null, 2);

const ANSWERS = {
  A1: 5,
  A5: 3,
  A9: 4,
  A13: 6,
  A14: 2,
  B3a: "NO",
  B3b: "MAYBE",
  B15a: "MAYBE",
  B15b: "YES",
  B20: "YES",
  B24a: "MAYBE",
  B24b: "YES",
  C1: ["recording"],
};

/** Tabs behind the one that signs up; `random` is different at each visit. */
export const attunedExamples = (random: string) => [
  {
    query: `# 2. What a newcomer agrees to,
# each version for itself. Who
# withdraws a consent plays no
# more: withdrawConsent.
mutation Agree {
  terms: recordConsent(input: { documentId: "terms", version: "2026-01" }) {
    consent { createdAt }
    errors { code message }
  }
  privacy: recordConsent(input: { documentId: "privacy", version: "2026-01" }) {
    consent { createdAt }
    errors { code message }
  }
  sensitive: recordConsent(input: { documentId: "sensitive-data", version: "2026-01" }) {
    consent { createdAt }
    errors { code message }
  }
}
`,
  },
  {
    query: `# 3. Say who you are. From then on
# you may play; onboarding says
# what is to be done next.
mutation Introduce($input: UpdateDemographicsInput!) {
  updateDemographics(input: $input) {
    demographics { name anatomySelf anatomyPreference }
    viewer { onboarding { nextStep canPlay } }
    errors { code message path }
  }
}
`,
    variables: json({
      input: { name: "Ada", anatomySelf: ["VAGINA", "BREASTS"], anatomyPreference: ["PENIS"] },
    }),
  },
  {
    query: `# 4. Begin the survey, in its short
# form. It goes on where it was
# left, on any device.
mutation StartSurvey {
  startSurvey(input: { surveyId: "attuned-0.4", form: SHORT }) {
    surveyRun { id status itemCount answeredCount }
    errors { code message path }
  }
}
`,
  },
  {
    query: `# 5. Save answers, as a client does
# after each. The run's id is
# filled in for you.
mutation SaveAnswers($input: SaveSurveyAnswersInput!) {
  saveSurveyAnswers(input: $input) {
    surveyRun { id answeredCount savedAt }
    errors { code message path }
  }
}
`,
    variables: json({
      input: {
        runId: "<survey run id>",
        idempotencyKey: `answers-${random}`,
        answers: Object.entries(ANSWERS).map(([itemId, value]) => ({ itemId, value })),
      },
    }),
  },
  {
    query: `# 6. Submit it: a profile, ready to
# plot, and boundaries that follow
# from the answers.
mutation SubmitSurvey($id: ID!) {
  submitSurvey(input: { runId: $id }) {
    surveyProfile {
      version
      archetype
      tags
      powerOrientation
      radar { domain score }
      bars { measure score level }
      boundaries { itemId kind source }
    }
    errors { code message path }
  }
}
`,
    variables: json({ id: "<survey run id>" }),
  },
  {
    query: `# 7. Ask somebody to connect. The
# answer is the same whether the
# address has an account or not.
mutation AskPartner($input: RequestPartnerInput!) {
  requestPartner(input: $input) {
    request { id status expiresAt }
    errors { code message path }
  }
}
`,
    variables: json({ input: { email: `bob-${random}@example.com`, sharing: "OVERLAPPING" } }),
  },
  {
    query: `# 8. Play, with somebody who has no
# account. Next: Draw, and Watch
# in another tab.
mutation Play($input: StartPlaySessionInput!) {
  startPlaySession(input: $input) {
    playSession { id status version level players { name seat } turn { playerId } }
    dailyLimit { used limit remaining resetsAt }
    errors { code message path }
  }
}
`,
    variables: json({
      input: { level: "G", order: "SEQUENTIAL", players: [{ name: "Kim", anatomy: ["BREASTS"] }] },
    }),
  },
  {
    query: `# 9. Draw. The session's id and its
# version are filled in for you;
# an older one is STALE_TURN.
mutation Draw($input: DrawActivityInput!) {
  drawActivity(input: $input) {
    playSession { id version current { kind level text theme why } }
    dailyLimit { used remaining upgradeRequired }
    errors { code message path }
  }
}
`,
    variables: json({ input: { sessionId: "<play session id>", version: 1, kind: "RANDOM" } }),
  },
  {
    query: `# 10. End the turn, and say what it
# was like. Then Draw again.
mutation Complete($input: CompleteActivityInput!) {
  completeActivity(input: $input) {
    playSession { id version turn { playerId } turnCount }
    errors { code message path }
  }
}
`,
    variables: json({
      input: { sessionId: "<play session id>", version: 2, done: true, feedback: "LIKE" },
    }),
  },
  {
    query: `# 11. What the other device sees:
# the session now, then after each
# change.
subscription Watch($id: ID!) {
  playSessionChanged(id: $id) {
    cursor
    playSession { id version status turn { playerId } current { kind text status } }
  }
}
`,
    variables: json({ id: "<play session id>" }),
  },
];
