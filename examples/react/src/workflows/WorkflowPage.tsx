// One workflow: what it says, its state, a form that has it call a number, and its calls.

import { useQuery } from "@apollo/client/react";
import { Link, useNavigate, useParams } from "react-router";
import type { WorkflowQuery } from "../gql/graphql";
import { LimitErrors } from "../billing/LimitErrors";
import { Button, Field, onSubmit, text } from "../shared/Form";
import { Empty, Loading, Missing, Page } from "../shared/Page";
import { Meter, Status } from "../shared/Status";
import { useAction } from "../shared/useAction";
import { useOrganization } from "../organizations/OrganizationProvider";
import { stepsOf } from "./definition";
import { ARCHIVE_WORKFLOW, PUBLISH_WORKFLOW, RESTORE_WORKFLOW, START_RUN, WORKFLOW } from "./operations";
import { RunList } from "./RunList";

type Workflow = NonNullable<WorkflowQuery["workflow"]>;

export function WorkflowPage() {
  const id = useParams()["id"]!;
  const { canEdit } = useOrganization();
  const { data, error, loading } = useQuery(WORKFLOW, { variables: { id } });
  const workflow = data?.workflow;
  if (!workflow) return loading ? <Loading /> : <Missing error={error} what="workflow" />;
  const version = workflow.versions.nodes[0];
  return (
    <Page
      title={workflow.name}
      above={<p><Link to="/">Workflows</Link></p>}
      actions={<Status value={workflow.status} isLive />}
    >
      {canEdit && <StateSection workflow={workflow} />}
      {canEdit && workflow.status === "ACTIVE" && <CallForm workflow={workflow} />}
      <section aria-labelledby="calls-heading">
        <h2 id="calls-heading">Calls</h2>
        {workflow.calls.nodes.length === 0 ? <Empty>No call yet.</Empty> : <RunList runs={workflow.calls.nodes} />}
      </section>
      {version && (
        <section aria-labelledby="steps-heading">
          <h2 id="steps-heading">What it does</h2>
          <ol className="card steps">
            {stepsOf(version.definition).map(({ name, prompt }) => (
              <li key={name}><strong>{name}</strong><p>{prompt}</p></li>
            ))}
          </ol>
          <p className="hint">Version {version.number}</p>
        </section>
      )}
    </Page>
  );
}

function StateSection({ workflow: { id, status } }: { workflow: Workflow }) {
  const publish = useAction(PUBLISH_WORKFLOW);
  const archive = useAction(ARCHIVE_WORKFLOW);
  const restore = useAction(RESTORE_WORKFLOW);
  return (
    <div className="actions">
      {status === "DRAFT" && (
        <Button className="primary" isBusy={publish.isBusy} onClick={() => void publish.run({ id })}>Publish</Button>
      )}
      {status === "ARCHIVED" ? (
        <Button isBusy={restore.isBusy} onClick={() => void restore.run({ id })}>Restore</Button>
      ) : (
        <Button isBusy={archive.isBusy} onClick={() => void archive.run({ id })}>Archive</Button>
      )}
      <LimitErrors errors={[...publish.errors, ...archive.errors, ...restore.errors]} />
    </div>
  );
}

function CallForm({ workflow: { id, organization } }: { workflow: Workflow }) {
  const start = useAction(START_RUN);
  const navigate = useNavigate();

  async function submit(values: FormData) {
    const started = await start.run({
      input: { workflowId: id, to: text(values, "to"), idempotencyKey: start.idempotencyKey },
    });
    if (started?.run) await navigate(`/runs/${started.run.id}`);
  }

  return (
    <section aria-labelledby="call-heading">
      <h2 id="call-heading">Call a number</h2>
      <form className="card" onSubmit={onSubmit((values) => void submit(values))} noValidate>
        <div className="row-form">
          <Field label="Number" path="to" errors={start.errors} hint="With the country's code, as in +4930901820.">
            {(control) => <input {...control} type="tel" autoComplete="off" />}
          </Field>
          <Button type="submit" className="primary" isBusy={start.isBusy}>Call</Button>
        </div>
        <LimitErrors errors={start.errors} except={["to"]} />
        {organization && (
          <Meter
            label="Calls this month"
            used={organization.usage.callsThisMonth}
            limit={organization.limits.callsPerMonth}
          />
        )}
      </form>
    </section>
  );
}
