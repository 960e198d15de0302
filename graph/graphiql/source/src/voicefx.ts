// The tabs where VoiceFX is loaded: an organization, a workflow, a call that is heard live.
const json = (value: unknown) => JSON.stringify(value, null, 2);

const DEFINITION = {
  nodes: [
    { id: "start", type: "startCall", data: { name: "Greet", prompt: "Say good morning." } },
    { id: "ask", type: "agentNode", data: { name: "Ask", prompt: "Ask whether Tuesday suits." } },
    { id: "end", type: "endCall", data: { name: "End", prompt: "Thank them." } },
  ],
  edges: [
    { id: "1", source: "start", target: "ask", label: "listening", condition: "They listen." },
    { id: "2", source: "ask", target: "end", label: "done", condition: "They answered." },
  ],
};

/** Tabs behind the one that signs up; `random` is different at each visit. */
export const voicefxExamples = (random: string) => [
  {
    query: `# 2. Found an organization. You own
# it, and what is made in it is its
# members'.
mutation Found($input: CreateOrganizationInput!) {
  createOrganization(input: $input) {
    organization { id name plan { id } }
    errors { code message path }
  }
}
`,
    variables: json({
      input: { name: `Praxis ${random}`, idempotencyKey: `organization-${random}` },
    }),
  },
  {
    query: `# 3. What its plan allows, what is
# used, and whether there is room.
query Standing($id: ID!) {
  organization(id: $id) {
    name
    members(first: 10) { nodes { role user { id displayName } } }
    limits { workflows callsPerMonth campaigns seats }
    usage { workflows callsThisMonth campaigns seats resetsAt }
    withinLimits { workflows calls campaigns seats }
  }
}
`,
    variables: json({ id: "<organization id>" }),
  },
  {
    query: `# 4. Write a workflow: what is said,
# and what leads on. It is a draft.
mutation Design($input: CreateWorkflowInput!) {
  createWorkflow(input: $input) {
    workflow { id name status }
    errors { code message path }
  }
}
`,
    variables: json({
      input: {
        organizationId: "<organization id>",
        name: "Appointments",
        definition: DEFINITION,
        idempotencyKey: `workflow-${random}`,
      },
    }),
  },
  {
    query: `# 5. Publish it: calls are made by
# this version, until the next one.
mutation PublishWorkflow($id: ID!) {
  publishWorkflow(input: { id: $id }) {
    workflow { id status }
    errors { code message path }
  }
}
`,
    variables: json({ id: "<workflow id>" }),
  },
  {
    query: `# 6. Call somebody. Without a
# telephone company a simulator
# answers. The same key calls once.
mutation Call($input: StartRunInput!) {
  startRun(input: $input) {
    run { id status phoneNumber }
    errors { code message path }
  }
}
`,
    variables: json({
      input: {
        workflowId: "<workflow id>",
        to: "+4930901820",
        idempotencyKey: `call-${random}`,
      },
    }),
  },
  {
    query: `# 7. Follow the call: as it is now,
# then after every change.
subscription WatchCall($id: ID!) {
  runUpdated(id: $id) {
    cursor
    run {
      id
      status
      durationSeconds
      transcript
      usage
      recordingUrl
    }
  }
}
`,
    variables: json({ id: "<run id>" }),
  },
  {
    query: `# 8. Ask a colleague in. They see
# it in viewer { invitations }, and
# accept with acceptInvitation.
mutation Invite($input: InviteMemberInput!) {
  inviteMember(input: $input) {
    invitation { id email role expiresAt }
    errors { code message path }
  }
}
`,
    variables: json({
      input: {
        organizationId: "<organization id>",
        email: `grace-${random}@example.com`,
        role: "MEMBER",
      },
    }),
  },
  {
    query: `# 9. What others change in it, such
# as its name and its members.
subscription WatchOrganization($id: ID!) {
  organizationChanged(id: $id) {
    cursor
    organization { id name usage { workflows callsThisMonth } }
  }
}
`,
    variables: json({ id: "<organization id>" }),
  },
];
