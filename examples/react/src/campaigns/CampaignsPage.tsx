// The campaigns of an organization, and a form for another one.

import { useQuery } from "@apollo/client/react";
import { useState } from "react";
import { Link } from "react-router";
import type { CampaignRowFragment } from "../gql/graphql";
import { day } from "../shared/format";
import { Button } from "../shared/Form";
import { Empty, Loading, Missing, Page } from "../shared/Page";
import { Meter, Status } from "../shared/Status";
import { useOrganization } from "../organizations/OrganizationProvider";
import { NewCampaignForm } from "./NewCampaignForm";
import { CAMPAIGNS } from "./operations";

export function CampaignsPage() {
  const { id, canEdit } = useOrganization();
  const { data, error, loading } = useQuery(CAMPAIGNS, { variables: { id } });
  const [isAdding, setIsAdding] = useState(false);
  const found = data?.organization;
  const workflows = found?.workflows.nodes.filter(({ status }) => status === "ACTIVE") ?? [];
  const add = found && canEdit && !isAdding && (
    <Button className="primary" onClick={() => setIsAdding(true)}>New campaign</Button>
  );
  return (
    <Page title="Campaigns" actions={add}>
      {!found && (loading ? <Loading /> : <Missing error={error} what="organization" />)}
      {isAdding && <NewCampaignForm workflows={workflows} onClose={() => setIsAdding(false)} />}
      {found && (
        <>
          {found.campaigns.nodes.length === 0 ? (
            <Empty>No campaign yet. One calls everybody on a list, with a published workflow.</Empty>
          ) : (
            <ul className="card list">
              {found.campaigns.nodes.map((campaign) => <Row key={campaign.id} campaign={campaign} />)}
            </ul>
          )}
          <div className="card">
            <Meter label="Campaigns" used={found.usage.campaigns} limit={found.limits.campaigns} />
          </div>
        </>
      )}
    </Page>
  );
}

function Row({ campaign }: { campaign: CampaignRowFragment }) {
  const { id, name, status, contactCount, processedCount, createdAt } = campaign;
  return (
    <li>
      <div className="grow">
        <Link to={`/campaigns/${id}`}><strong>{name}</strong></Link>
        <div className="quiet">
          {contactCount > 0 ? `${processedCount} of ${contactCount} reached` : `Made ${day(createdAt)}`}
        </div>
      </div>
      <Status value={status} />
    </li>
  );
}
