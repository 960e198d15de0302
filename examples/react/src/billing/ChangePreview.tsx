// Says what a change of plan costs before it is made; it then costs exactly that.

import { useEffect, useRef, useState } from "react";
import type { BillingInterval, PreviewPlanChangeMutation } from "../gql/graphql";
import { day, money } from "../shared/format";
import { Button, FormErrors } from "../shared/Form";
import { useAction } from "../shared/useAction";
import { useOrganization } from "../organizations/OrganizationProvider";
import type { Plan } from "./BillingPage";
import { CHANGE_SUBSCRIPTION, PREVIEW_PLAN_CHANGE } from "./operations";

type Preview = NonNullable<NonNullable<PreviewPlanChangeMutation["previewPlanChange"]>["preview"]>;
type Props = { plan: Plan; interval: BillingInterval; onClose: () => void };

export function ChangePreview({ plan, interval, onClose }: Props) {
  const { id } = useOrganization();
  const ask = useAction(PREVIEW_PLAN_CHANGE);
  const change = useAction(CHANGE_SUBSCRIPTION);
  const [preview, setPreview] = useState<Preview | null>(null);
  const isAsked = useRef(false);
  const wanted = { organizationId: id, planId: plan.id, interval };

  useEffect(() => {
    if (isAsked.current) return;
    isAsked.current = true;
    void ask.run({ input: wanted }).then((payload) => setPreview(payload?.preview ?? null));
  });

  async function go() {
    const { proratedAt } = preview!;
    if (await change.run({ input: { ...wanted, proratedAt, idempotencyKey: change.idempotencyKey } })) onClose();
  }

  return (
    <div className="card" role="region" aria-label={`Change to ${plan.name}`} aria-live="polite">
      <h3>Change to {plan.name}</h3>
      {ask.isBusy && <p className="quiet">Asking what it costs…</p>}
      {preview && <p>{sentence(preview)}</p>}
      <FormErrors errors={[...ask.errors, ...change.errors]} />
      <div className="actions">
        {preview && <Button className="primary" isBusy={change.isBusy} onClick={() => void go()}>Change now</Button>}
        <Button onClick={onClose}>Keep the plan</Button>
      </div>
    </div>
  );
}

function sentence({ dueCents, prorationCents, currency, nextPaymentAt }: Preview): string {
  const now = dueCents > 0
    ? `${money(dueCents, currency)} is paid now.`
    : `Nothing is paid now; ${money(-prorationCents, currency)} is kept for later invoices.`;
  return nextPaymentAt ? `${now} The next payment is due on ${day(nextPaymentAt)}.` : now;
}
