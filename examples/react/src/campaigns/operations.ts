// What is asked about campaigns.

import { graphql } from "../gql";

graphql(`
  fragment CampaignRow on Campaign {
    id
    name
    status
    contactCount
    callCount
    processedCount
    failedCount
    retryCount
    refusedRowCount
    pauseReason
    error
    createdAt
    endedAt
  }
`);

graphql(`
  fragment CampaignList on Organization {
    id
    campaigns(first: 50) { nodes { ...CampaignRow } }
    limits { campaigns }
    usage { campaigns }
  }
`);

export const CAMPAIGNS = graphql(`
  query Campaigns($id: ID!) {
    organization(id: $id) {
      ...CampaignList
      workflows(first: 50) { nodes { ...WorkflowRow } }
    }
  }
`);

export const CAMPAIGN = graphql(`
  query Campaign($id: ID!) {
    campaign(id: $id) {
      ...CampaignRow
      callsPerSecond
      concurrency
      maxRetries
      workflow { id name }
      refusedRows(first: 20) { nodes { id rowNumber message } }
      runs(first: 20) { nodes { ...RunRow } }
    }
  }
`);

export const CREATE_CONTACT_LIST = graphql(`
  mutation CreateContactList($input: CreateContactListInput!) {
    createContactList(input: $input) {
      contactList { id url }
      errors { code message path }
    }
  }
`);

export const CREATE_CAMPAIGN = graphql(`
  mutation CreateCampaign($input: CreateCampaignInput!) {
    createCampaign(input: $input) {
      campaign { ...CampaignRow workflow { id organization { ...CampaignList } } }
      errors { code message path ...PlanLimit }
    }
  }
`);

export const START_CAMPAIGN = graphql(`
  mutation StartCampaign($id: ID!) {
    startCampaign(input: { id: $id }) { campaign { ...CampaignRow } errors { code message path } }
  }
`);

export const PAUSE_CAMPAIGN = graphql(`
  mutation PauseCampaign($id: ID!) {
    pauseCampaign(input: { id: $id }) { campaign { ...CampaignRow } errors { code message path } }
  }
`);

export const RESUME_CAMPAIGN = graphql(`
  mutation ResumeCampaign($id: ID!) {
    resumeCampaign(input: { id: $id }) { campaign { ...CampaignRow } errors { code message path } }
  }
`);

export const CANCEL_CAMPAIGN = graphql(`
  mutation CancelCampaign($id: ID!) {
    cancelCampaign(input: { id: $id }) { campaign { ...CampaignRow } errors { code message path } }
  }
`);

/** The campaign as it is now, then as it goes on, four times a second at most, with its latest calls. */
export const WATCH_CAMPAIGN = graphql(`
  subscription WatchCampaign($id: ID!) {
    campaignUpdated(id: $id) {
      cursor
      campaign {
        ...CampaignRow
        refusedRows(first: 20) { nodes { id rowNumber message } }
        runs(first: 20) { nodes { ...RunRow } }
      }
    }
  }
`);
