// One call, as it goes on.

import { useQuery, useSubscription } from "@apollo/client/react";
import { Link, useParams } from "react-router";
import type { RunDetailsFragment } from "../gql/graphql";
import { duration, moment, money } from "../shared/format";
import { Loading, Missing, Page } from "../shared/Page";
import { Status } from "../shared/Status";
import { RUN, WATCH_RUN } from "./operations";

const MICRO_PER_CENT = 10_000;

export function RunPage() {
  const id = useParams()["id"]!;
  const { data, error, loading } = useQuery(RUN, { variables: { id } });
  useSubscription(WATCH_RUN, { variables: { id }, ignoreResults: true });
  const run = data?.run;
  if (!run) return loading ? <Loading /> : <Missing error={error} what="call" />;
  const { workflow, campaign } = run;
  return (
    <Page
      title={`Call to ${run.phoneNumber}`}
      above={workflow && <p><Link to={`/workflows/${workflow.id}`}>{workflow.name}</Link></p>}
      actions={<Status value={run.status} isLive />}
    >
      {run.error && <p className="error">{run.error}</p>}
      {campaign && (
        <p className="quiet">
          Call {run.attempt} to this contact of <Link to={`/campaigns/${campaign.id}`}>{campaign.name}</Link>
        </p>
      )}
      <Facts run={run} />
      {run.transcript && (
        <section aria-labelledby="transcript-heading">
          <h2 id="transcript-heading">What was said</h2>
          <pre className="card transcript">{run.transcript}</pre>
        </section>
      )}
      {run.recordingUrl && (
        <section aria-labelledby="recording-heading">
          <h2 id="recording-heading">Recording</h2>
          <audio controls preload="none" src={run.recordingUrl} />
        </section>
      )}
    </Page>
  );
}

function Facts({ run }: { run: RunDetailsFragment }) {
  const facts = [
    ["Asked for", moment(run.createdAt)],
    ["Dialled", run.dialledAt && moment(run.dialledAt)],
    ["Answered", run.answeredAt && moment(run.answeredAt)],
    ["Ended", run.endedAt && moment(run.endedAt)],
    ["Talked for", run.durationSeconds > 0 && duration(run.durationSeconds)],
    ["Cost", run.costMicroUsd != null && money(run.costMicroUsd / MICRO_PER_CENT, "USD")],
    ["Made by", run.provider],
  ] as const;
  return (
    <dl className="card facts">
      {facts.map(([name, value]) => value && <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}
