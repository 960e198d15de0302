// The workflows of an organization with their last calls, and a form for another one.

import { useQuery } from "@apollo/client/react";
import { useState } from "react";
import { Link } from "react-router";
import type { WorkflowsQuery } from "../gql/graphql";
import { moment } from "../shared/format";
import { Button } from "../shared/Form";
import { Empty, Loading, Missing, Page } from "../shared/Page";
import { Meter, Status } from "../shared/Status";
import { useOrganization } from "../organizations/OrganizationProvider";
import { NewWorkflowForm } from "./NewWorkflowForm";
import { WORKFLOWS } from "./operations";

type Organization = NonNullable<WorkflowsQuery["organization"]>;

export function WorkflowsPage() {
  const { id, canEdit } = useOrganization();
  const { data, error, loading } = useQuery(WORKFLOWS, { variables: { id } });
  const [isAdding, setIsAdding] = useState(false);
  const found = data?.organization;
  const add = canEdit && !isAdding && (
    <Button className="primary" onClick={() => setIsAdding(true)}>New workflow</Button>
  );
  return (
    <Page title="Workflows" actions={add}>
      {isAdding && <NewWorkflowForm onClose={() => setIsAdding(false)} />}
      {found ? <List organization={found} /> : loading ? <Loading /> : <Missing error={error} what="organization" />}
    </Page>
  );
}

function List({ organization }: { organization: Organization }) {
  const { workflows, usage, limits } = organization;
  return (
    <>
      {workflows.nodes.length === 0 ? (
        <Empty>No workflow yet. Make one: it says what an agent does in a call.</Empty>
      ) : (
        <ul className="card list">
          {workflows.nodes.map((workflow) => <Row key={workflow.id} workflow={workflow} />)}
        </ul>
      )}
      <div className="card"><Meter label="Workflows" used={usage.workflows} limit={limits.workflows} /></div>
    </>
  );
}

function Row({ workflow }: { workflow: Organization["workflows"]["nodes"][number] }) {
  const { id, name, status, runs } = workflow;
  const last = runs.nodes[0];
  return (
    <li>
      <div className="grow">
        <Link to={`/workflows/${id}`}><strong>{name}</strong></Link>
        <div className="quiet">
          {last ? <>Last call {moment(last.createdAt)}: <Link to={`/runs/${last.id}`}>{last.phoneNumber}</Link></> : "No call yet"}
        </div>
      </div>
      {last && <Status value={last.status} />}
      <Status value={status} />
    </li>
  );
}
