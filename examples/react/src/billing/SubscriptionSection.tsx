// How the subscription stands: until when it is paid, ending it, and having it go on.

import { day } from "../shared/format";
import { Button, FormErrors } from "../shared/Form";
import { Status } from "../shared/Status";
import { useAction } from "../shared/useAction";
import { useOrganization } from "../organizations/OrganizationProvider";
import { type Bill, goesOn, type Subscription } from "./BillingPage";
import { CANCEL_SUBSCRIPTION, CREATE_BILLING_PORTAL, RESUME_SUBSCRIPTION } from "./operations";

export function SubscriptionSection({ bill, subscription }: { bill: Bill; subscription: Subscription }) {
  const { isOwner } = useOrganization();
  return (
    <section aria-labelledby="subscription-heading">
      <h2 id="subscription-heading">Subscription</h2>
      <div className="card">
        <p><Status value={subscription.status} isLive /> {sentence(subscription, bill)}</p>
        <div className="actions">
          {isOwner && goesOn(subscription) && <EndButtons subscription={subscription} />}
          <PortalButton />
        </div>
      </div>
    </section>
  );
}

function sentence({ status, currentPeriodEnd, cancelAtPeriodEnd, graceEndsAt, seats }: Subscription, bill: Bill): string {
  if (status === "PENDING") return "It is not paid yet.";
  if (status === "PAST_DUE") {
    return `A payment failed. Mend it in the portal${graceEndsAt ? ` by ${day(graceEndsAt)}, or ${bill.plan?.name} ends` : ""}.`;
  }
  if (!currentPeriodEnd || status === "CANCELLED") return "It has ended.";
  const many = seats === 1 ? "1 seat" : `${seats} seats`;
  return cancelAtPeriodEnd ? `It ends on ${day(currentPeriodEnd)}.` : `${many}, renewed on ${day(currentPeriodEnd)}.`;
}

function EndButtons({ subscription: { cancelAtPeriodEnd } }: { subscription: Subscription }) {
  const { id } = useOrganization();
  const cancel = useAction(CANCEL_SUBSCRIPTION);
  const resume = useAction(RESUME_SUBSCRIPTION);
  const input = { organizationId: id };
  return (
    <>
      {cancelAtPeriodEnd ? (
        <Button className="primary" isBusy={resume.isBusy} onClick={() => void resume.run({ input })}>Keep it after all</Button>
      ) : (
        <Button isBusy={cancel.isBusy} onClick={() => void cancel.run({ input })}>End it with this period</Button>
      )}
      <Button className="danger" isBusy={cancel.isBusy} onClick={() => {
        const isSure = window.confirm("End it now? Nothing is paid back, and the limits of the free plan count at once.");
        if (isSure) void cancel.run({ input: { ...input, immediately: true } });
      }}>End it now</Button>
      <FormErrors errors={[...cancel.errors, ...resume.errors]} />
    </>
  );
}

function PortalButton() {
  const { id } = useOrganization();
  const portal = useAction(CREATE_BILLING_PORTAL);

  async function go() {
    const made = await portal.run({ input: { organizationId: id, returnUrl: `${window.location.origin}/billing` } });
    if (made?.url) window.location.assign(made.url);
  }

  return (
    <>
      <Button isBusy={portal.isBusy} onClick={() => void go()}>Cards and receipts</Button>
      <FormErrors errors={portal.errors} />
    </>
  );
}
