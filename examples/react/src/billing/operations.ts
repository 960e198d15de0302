// What is asked about plans, limits and what is paid.

import { graphql } from "../gql";

graphql(`
  fragment PlanLimit on PlanLimitReached {
    limit
    used
    planId
  }
`);

graphql(`
  fragment SubscriptionState on ProviderSubscription {
    id
    status
    planId
    interval
    seats
    currentPeriodEnd
    cancelAtPeriodEnd
    graceEndsAt
  }
`);

graphql(`
  fragment OrganizationBill on Organization {
    id
    plan { id name }
    limits { workflows callsPerMonth campaigns seats }
    usage { workflows callsThisMonth campaigns seats resetsAt }
    subscription { ...SubscriptionState }
    invoices(first: 20) { nodes { id number status totalCents currency createdAt pageUrl documentUrl } }
  }
`);

export const BILLING = graphql(`
  query Billing($id: ID!) {
    organization(id: $id) { ...OrganizationBill }
    organizationPlans {
      id name workflows callsPerMonth campaigns seats monthCents yearCents currency isActive
    }
  }
`);

export const CREATE_SUBSCRIPTION = graphql(`
  mutation CreateSubscription($input: CreateSubscriptionInput!) {
    createSubscription(input: $input) {
      subscription { ...SubscriptionState }
      checkoutUrl
      errors { code message path }
    }
  }
`);

export const PREVIEW_PLAN_CHANGE = graphql(`
  mutation PreviewPlanChange($input: PreviewPlanChangeInput!) {
    previewPlanChange(input: $input) {
      preview { dueCents prorationCents currency nextPaymentAt proratedAt }
      errors { code message path }
    }
  }
`);

export const CHANGE_SUBSCRIPTION = graphql(`
  mutation ChangeSubscription($input: ChangeSubscriptionInput!) {
    changeSubscription(input: $input) {
      subscription { ...SubscriptionState }
      viewer { id selectedOrganization { ...OrganizationBill } }
      errors { code message path }
    }
  }
`);

export const CANCEL_SUBSCRIPTION = graphql(`
  mutation CancelSubscription($input: CancelSubscriptionInput!) {
    cancelSubscription(input: $input) {
      subscription { ...SubscriptionState }
      viewer { id selectedOrganization { ...OrganizationBill } }
      errors { code message path }
    }
  }
`);

export const RESUME_SUBSCRIPTION = graphql(`
  mutation ResumeSubscription($input: ResumeSubscriptionInput!) {
    resumeSubscription(input: $input) {
      subscription { ...SubscriptionState }
      errors { code message path }
    }
  }
`);

export const CREATE_BILLING_PORTAL = graphql(`
  mutation CreateBillingPortal($input: CreateBillingPortalInput!) {
    createBillingPortal(input: $input) {
      url
      errors { code message path }
    }
  }
`);
