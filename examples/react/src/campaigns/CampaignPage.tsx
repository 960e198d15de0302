// One campaign, as it goes on.

import { useQuery, useSubscription } from "@apollo/client/react";
import { Link, useParams } from "react-router";
import type { CampaignRowFragment, CampaignStatus } from "../gql/graphql";
import { Button, FormErrors } from "../shared/Form";
import { Empty, Loading, Missing, Page } from "../shared/Page";
import { Meter, Status } from "../shared/Status";
import { useAction } from "../shared/useAction";
import { useOrganization } from "../organizations/OrganizationProvider";
import { RunList } from "../workflows/RunList";
import {
  CAMPAIGN, CANCEL_CAMPAIGN, PAUSE_CAMPAIGN, RESUME_CAMPAIGN, START_CAMPAIGN, WATCH_CAMPAIGN,
} from "./operations";

/** What a campaign can be told in each state. */
const STEPS: Partial<Record<CampaignStatus, readonly ("start" | "pause" | "resume" | "cancel")[]>> = {
  CREATED: ["start", "cancel"],
  SYNCING: ["pause", "cancel"],
  RUNNING: ["pause", "cancel"],
  PAUSED: ["resume", "cancel"],
};

export function CampaignPage() {
  const id = useParams()["id"]!;
  const { canEdit } = useOrganization();
  const { data, error, loading } = useQuery(CAMPAIGN, { variables: { id } });
  useSubscription(WATCH_CAMPAIGN, { variables: { id }, ignoreResults: true });
  const campaign = data?.campaign;
  if (!campaign) return loading ? <Loading /> : <Missing error={error} what="campaign" />;
  const { workflow, refusedRows, runs } = campaign;
  return (
    <Page
      title={campaign.name}
      above={<p><Link to="/campaigns">Campaigns</Link></p>}
      actions={<Status value={campaign.status} isLive />}
    >
      {canEdit && <Steps campaign={campaign} />}
      {(campaign.error ?? campaign.pauseReason) && <p className="error">{campaign.error ?? campaign.pauseReason}</p>}
      <Progress campaign={campaign} />
      <p className="quiet">
        Calls with {workflow && <Link to={`/workflows/${workflow.id}`}>{workflow.name}</Link>}, {campaign.callsPerSecond} a
        second and {campaign.concurrency} at once at most, each contact up to {campaign.maxRetries + 1} times.
      </p>
      {refusedRows.nodes.length > 0 && (
        <section aria-labelledby="refused-heading">
          <h2 id="refused-heading">Rows that name nobody to call: {campaign.refusedRowCount}</h2>
          <ul className="card list">
            {refusedRows.nodes.map((row) => <li key={row.id}>Row {row.rowNumber}: {row.message}</li>)}
          </ul>
        </section>
      )}
      <section aria-labelledby="runs-heading">
        <h2 id="runs-heading">Latest calls</h2>
        {runs.nodes.length === 0 ? <Empty>No call yet.</Empty> : <RunList runs={runs.nodes} />}
      </section>
    </Page>
  );
}

function Progress({ campaign }: { campaign: CampaignRowFragment }) {
  const { contactCount, processedCount, failedCount, callCount, retryCount } = campaign;
  return (
    <section className="card" aria-label="Progress">
      <Meter label="Reached" used={processedCount} limit={contactCount} isGoal />
      <Meter label="Given up" used={failedCount} limit={contactCount} isGoal />
      <p className="hint">{callCount} calls, {retryCount} of them made again or to be made again.</p>
    </section>
  );
}

function Steps({ campaign: { id, status } }: { campaign: CampaignRowFragment }) {
  const start = useAction(START_CAMPAIGN);
  const pause = useAction(PAUSE_CAMPAIGN);
  const resume = useAction(RESUME_CAMPAIGN);
  const cancel = useAction(CANCEL_CAMPAIGN);
  const steps = {
    start: { action: start, title: "Start", className: "primary" },
    pause: { action: pause, title: "Pause", className: "" },
    resume: { action: resume, title: "Resume", className: "primary" },
    cancel: { action: cancel, title: "Call off", className: "danger" },
  };
  return (
    <div className="actions">
      {(STEPS[status] ?? []).map((step) => {
        const { action, title, className } = steps[step];
        return (
          <Button key={step} className={className} isBusy={action.isBusy} onClick={() => void action.run({ id })}>
            {title}
          </Button>
        );
      })}
      <FormErrors errors={Object.values(steps).flatMap(({ action }) => action.errors)} />
    </div>
  );
}
