// What is asked about workflows and their calls.

import { graphql } from "../gql";

graphql(`
  fragment RunRow on WorkflowRun {
    id
    phoneNumber
    status
    durationSeconds
    costMicroUsd
    createdAt
    endedAt
  }
`);

graphql(`
  fragment WorkflowRow on Workflow {
    id
    name
    status
    updatedAt
    runs(first: 1) { nodes { ...RunRow } }
  }
`);

graphql(`
  fragment WorkflowList on Organization {
    id
    workflows(first: 50) { nodes { ...WorkflowRow } }
    limits { workflows }
    usage { workflows }
  }
`);

graphql(`
  fragment WorkflowDetails on Workflow {
    ...WorkflowRow
    publishedAt
    organization { id limits { callsPerMonth } usage { callsThisMonth } }
    versions(first: 1) { nodes { id number definition } }
    calls: runs(first: 20) { nodes { ...RunRow } }
  }
`);

graphql(`
  fragment RunDetails on WorkflowRun {
    ...RunRow
    error
    provider
    transcript
    dialledAt
    answeredAt
    recordingUrl
    attempt
    retryReason
    workflow { id name }
    campaign { id name }
  }
`);

export const WORKFLOWS = graphql(`
  query Workflows($id: ID!) {
    organization(id: $id) { ...WorkflowList }
  }
`);

export const WORKFLOW = graphql(`
  query Workflow($id: ID!) {
    workflow(id: $id) { ...WorkflowDetails }
  }
`);

export const CREATE_WORKFLOW = graphql(`
  mutation CreateWorkflow($input: CreateWorkflowInput!) {
    createWorkflow(input: $input) {
      workflow { ...WorkflowRow organization { ...WorkflowList } }
      errors { code message path ...PlanLimit }
    }
  }
`);

export const PUBLISH_WORKFLOW = graphql(`
  mutation PublishWorkflow($id: ID!) {
    publishWorkflow(input: { id: $id }) {
      workflow { id status publishedAt updatedAt }
      errors { code message path }
    }
  }
`);

export const ARCHIVE_WORKFLOW = graphql(`
  mutation ArchiveWorkflow($id: ID!) {
    archiveWorkflow(input: { id: $id }) {
      workflow { id status updatedAt organization { ...WorkflowList } }
      errors { code message path }
    }
  }
`);

export const RESTORE_WORKFLOW = graphql(`
  mutation RestoreWorkflow($id: ID!) {
    restoreWorkflow(input: { id: $id }) {
      workflow { id status updatedAt organization { ...WorkflowList } }
      errors { code message path ...PlanLimit }
    }
  }
`);

export const START_RUN = graphql(`
  mutation StartRun($input: StartRunInput!) {
    startRun(input: $input) {
      run { ...RunDetails workflow { ...WorkflowDetails } }
      errors { code message path ...PlanLimit }
    }
  }
`);

export const RUN = graphql(`
  query Run($id: ID!) {
    run(id: $id) { ...RunDetails }
  }
`);

/** The call as it is now, then after every change; the cache is changed by its id. */
export const WATCH_RUN = graphql(`
  subscription WatchRun($id: ID!) {
    runUpdated(id: $id) {
      cursor
      run { ...RunDetails }
    }
  }
`);
