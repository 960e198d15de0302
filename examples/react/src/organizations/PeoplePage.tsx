// The members of an organization with their roles, its invitations, and its name.

import { useQuery } from "@apollo/client/react";
import { useNavigate } from "react-router";
import { Button, Field, FormErrors, onSubmit, text } from "../shared/Form";
import { Loading, Missing, Page } from "../shared/Page";
import { useAction } from "../shared/useAction";
import { InvitationsSection } from "./InvitationsSection";
import { MembersSection } from "./MembersSection";
import { LEAVE_ORGANIZATION, PEOPLE, RENAME_ORGANIZATION } from "./operations";
import { useOrganization } from "./OrganizationProvider";

export function PeoplePage() {
  const organization = useOrganization();
  const { data, error, loading } = useQuery(PEOPLE, { variables: { id: organization.id } });
  const found = data?.organization;
  return (
    <Page title="People">
      {!found && (loading ? <Loading /> : <Missing error={error} what="organization" />)}
      {found && (
        <>
          <MembersSection members={found.members.nodes} />
          {organization.canManage && <InvitationsSection invitations={found.invitations.nodes} />}
          {organization.canManage && <NameSection name={found.name} />}
          <LeaveSection name={found.name} />
        </>
      )}
    </Page>
  );
}

function NameSection({ name }: { name: string }) {
  const { id } = useOrganization();
  const rename = useAction(RENAME_ORGANIZATION);
  const submit = (values: FormData) => rename.run({ input: { organizationId: id, name: text(values, "name") } });
  return (
    <section aria-labelledby="name-heading">
      <h2 id="name-heading">Name</h2>
      <form className="card row-form" onSubmit={onSubmit((values) => void submit(values))} noValidate>
        <Field label="Name of the organization" path="name" errors={rename.errors}>
          {(control) => <input key={name} {...control} defaultValue={name} maxLength={100} />}
        </Field>
        <Button type="submit" isBusy={rename.isBusy}>Rename</Button>
        <FormErrors errors={rename.errors} except={["name"]} />
      </form>
    </section>
  );
}

function LeaveSection({ name }: { name: string }) {
  const { id } = useOrganization();
  const leave = useAction(LEAVE_ORGANIZATION);
  const navigate = useNavigate();

  async function go() {
    if (!window.confirm(`Leave ${name}? Somebody has to invite you again before you can come back.`)) return;
    if (await leave.run({ input: { organizationId: id } })) await navigate("/");
  }

  return (
    <section aria-labelledby="leave-heading">
      <h2 id="leave-heading">Leave</h2>
      <div className="card row">
        <p>You lose sight of everything in {name} at once.</p>
        <Button className="danger" isBusy={leave.isBusy} onClick={() => void go()}>Leave {name}</Button>
        <FormErrors errors={leave.errors} />
      </div>
    </section>
  );
}
