// What the organization's plan allows, how much of it is used, and what is paid for it.

import { useQuery } from "@apollo/client/react";
import { useEffect } from "react";
import { useSearchParams } from "react-router";
import type { BillingQuery } from "../gql/graphql";
import { day } from "../shared/format";
import { Loading, Missing, Page } from "../shared/Page";
import { Meter } from "../shared/Status";
import { useOrganization } from "../organizations/OrganizationProvider";
import { InvoicesSection } from "./InvoicesSection";
import { BILLING } from "./operations";
import { PlansSection } from "./PlansSection";
import { SubscriptionSection } from "./SubscriptionSection";

export type Bill = NonNullable<BillingQuery["organization"]>;
export type Plan = BillingQuery["organizationPlans"][number];
export type Subscription = NonNullable<Bill["subscription"]>;

const PAID_POLL_MILLISECONDS = 2000;

/** Whether what a subscription stands for goes on, so that it is changed rather than begun anew. */
export function goesOn(subscription: Subscription | null | undefined): subscription is Subscription {
  return !!subscription && !["PENDING", "CANCELLED", "EXPIRED"].includes(subscription.status);
}

export function BillingPage() {
  const { id, canManage } = useOrganization();
  const { data, error, loading, startPolling, stopPolling } = useQuery(BILLING, { variables: { id } });
  const [parameters] = useSearchParams();
  const bill = data?.organization;
  // Back from the page on which it is paid: the provider tells the server a moment later.
  const isAwaited = parameters.get("checkout") === "done" && bill?.subscription?.status === "PENDING";
  useEffect(() => {
    if (!isAwaited) return;
    startPolling(PAID_POLL_MILLISECONDS);
    return stopPolling;
  }, [isAwaited, startPolling, stopPolling]);
  if (!data || !bill) return loading ? <Loading /> : <Missing error={error} what="organization" />;
  return (
    <Page title="Billing">
      {isAwaited && <p className="card" role="status">Thank you. The payment is being confirmed.</p>}
      <UsageSection bill={bill} />
      {canManage && bill.subscription && <SubscriptionSection bill={bill} subscription={bill.subscription} />}
      <PlansSection bill={bill} plans={data.organizationPlans} />
      {canManage && <InvoicesSection bill={bill} />}
    </Page>
  );
}

function UsageSection({ bill: { plan, usage, limits } }: { bill: Bill }) {
  return (
    <section aria-labelledby="usage-heading">
      <h2 id="usage-heading">{plan ? `Plan: ${plan.name}` : "Usage"}</h2>
      <div className="card meters">
        <Meter label="Workflows" used={usage.workflows} limit={limits.workflows} />
        <Meter
          label="Calls this month"
          used={usage.callsThisMonth}
          limit={limits.callsPerMonth}
          note={`From zero again on ${day(usage.resetsAt)}`}
        />
        <Meter label="Campaigns" used={usage.campaigns} limit={limits.campaigns} />
        <Meter label="Members" used={usage.seats} limit={limits.seats} />
      </div>
    </section>
  );
}
