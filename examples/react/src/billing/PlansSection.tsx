// The plans side by side: the first is paid for on the provider's page, another is changed to at its price.

import { useState } from "react";
import type { BillingInterval } from "../gql/graphql";
import { money } from "../shared/format";
import { Button, FormErrors } from "../shared/Form";
import { useAction } from "../shared/useAction";
import { useOrganization } from "../organizations/OrganizationProvider";
import { type Bill, goesOn, type Plan } from "./BillingPage";
import { ChangePreview } from "./ChangePreview";
import { CREATE_SUBSCRIPTION } from "./operations";

const INTERVALS: readonly [BillingInterval, string][] = [["MONTH", "Monthly"], ["YEAR", "Yearly"]];

export function PlansSection({ bill, plans }: { bill: Bill; plans: readonly Plan[] }) {
  const { isOwner } = useOrganization();
  const [interval, setInterval] = useState<BillingInterval>(bill.subscription?.interval ?? "MONTH");
  const [wanted, setWanted] = useState<Plan | null>(null);
  return (
    <section aria-labelledby="plans-heading">
      <h2 id="plans-heading">Plans</h2>
      <fieldset className="choice">
        <legend className="visually-hidden">How often it is paid</legend>
        {INTERVALS.map(([value, title]) => (
          <label key={value}>
            <input type="radio" name="interval" checked={interval === value} onChange={() => setInterval(value)} /> {title}
          </label>
        ))}
      </fieldset>
      <ul className="plans">
        {plans.filter(({ isActive, id }) => isActive || id === bill.plan?.id).map((plan) => (
          <PlanCard key={plan.id} plan={plan} bill={bill} interval={interval}>
            {isOwner && plan.isActive && isSold(plan, interval) && (
              goesOn(bill.subscription)
                ? <Button onClick={() => setWanted(plan)}>Change to {plan.name}</Button>
                : <SubscribeButton plan={plan} interval={interval} />
            )}
          </PlanCard>
        ))}
      </ul>
      {wanted && (
        <ChangePreview key={`${wanted.id} ${interval}`} plan={wanted} interval={interval} onClose={() => setWanted(null)} />
      )}
    </section>
  );
}

type PlanCardProps = { plan: Plan; bill: Bill; interval: BillingInterval; children: React.ReactNode };

function PlanCard({ plan, bill, interval, children }: PlanCardProps) {
  const isPlan = bill.plan?.id === plan.id;
  const isCurrent = isPlan && (!goesOn(bill.subscription) || bill.subscription.interval === interval);
  return (
    <li className={isPlan ? "card plan current" : "card plan"} aria-current={isCurrent || undefined}>
      <h3>{plan.name}</h3>
      <p className="price">{priceOf(plan, interval)}</p>
      <ul>
        <li>{count(plan.workflows, "workflow")}</li>
        <li>{count(plan.callsPerMonth, "call")} a month</li>
        <li>{count(plan.campaigns, "campaign")}</li>
        <li>{count(plan.seats, "member")}{plan.seats > 0 && " a seat"}</li>
      </ul>
      {isCurrent ? <p className="quiet">This is your plan.</p> : children}
    </li>
  );
}

function SubscribeButton({ plan, interval }: { plan: Plan; interval: BillingInterval }) {
  const { id } = useOrganization();
  const subscribe = useAction(CREATE_SUBSCRIPTION);

  async function go() {
    const page = `${window.location.origin}/billing`;
    const { idempotencyKey } = subscribe;
    const pages = { successUrl: `${page}?checkout=done`, cancelUrl: page };
    const made = await subscribe.run({ input: { organizationId: id, planId: plan.id, interval, ...pages, idempotencyKey } });
    if (made?.checkoutUrl) window.location.assign(made.checkoutUrl);
  }

  return (
    <>
      <Button className="primary" isBusy={subscribe.isBusy} onClick={() => void go()}>Choose {plan.name}</Button>
      <FormErrors errors={subscribe.errors} />
    </>
  );
}

function centsOf({ monthCents, yearCents }: Plan, interval: BillingInterval): number | null {
  return (interval === "MONTH" ? monthCents : yearCents) ?? null;
}

/** What is free, or on request, is not paid for on a page. */
function isSold(plan: Plan, interval: BillingInterval): boolean {
  return (centsOf(plan, interval) ?? 0) > 0;
}

function priceOf(plan: Plan, interval: BillingInterval): string {
  const cents = centsOf(plan, interval);
  if (cents == null) return "On request";
  return cents === 0 ? "Free" : `${money(cents, plan.currency)} a ${interval.toLowerCase()}`;
}

function count(limit: number, what: string): string {
  return limit < 0 ? `Any number of ${what}s` : `${limit} ${what}${limit === 1 ? "" : "s"}`;
}
