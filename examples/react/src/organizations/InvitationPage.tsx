// Where the link of an invitation leads: `/invitation#TOKEN`. The token is not sent to whoever serves this page.

import { useNavigate } from "react-router";
import { Button, FormErrors } from "../shared/Form";
import { Page } from "../shared/Page";
import { useAction } from "../shared/useAction";
import { ACCEPT_INVITATION, SELECT_ORGANIZATION } from "./operations";
import { usePlaces } from "./OrganizationProvider";

export function InvitationPage() {
  const { viewer } = usePlaces();
  const accept = useAction(ACCEPT_INVITATION);
  const select = useAction(SELECT_ORGANIZATION);
  const navigate = useNavigate();

  async function join() {
    const joined = await accept.run({ input: { token: window.location.hash.slice(1) } });
    if (!joined?.organization) return;
    await select.run({ input: { organizationId: joined.organization.id } });
    await navigate("/");
  }

  return (
    <Page title="You are invited">
      <div className="card narrow">
        <p>You are signed in as {viewer.email}. The invitation is for the address that it was sent to.</p>
        <Button className="primary" isBusy={accept.isBusy || select.isBusy} onClick={() => void join()}>
          Accept invitation
        </Button>
        <FormErrors errors={[...accept.errors, ...select.errors]} />
      </div>
    </Page>
  );
}
