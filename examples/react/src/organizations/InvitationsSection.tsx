// Invites people by their e-mail addresses. Who can't wait for the mail is handed the link.

import type { OrganizationRole, PeopleQuery } from "../gql/graphql";
import { day } from "../shared/format";
import { Button, Field, FormErrors, onSubmit, text } from "../shared/Form";
import { Status, words } from "../shared/Status";
import { useAction } from "../shared/useAction";
import { ROLES } from "./MembersSection";
import { INVITE_MEMBER, REVOKE_INVITATION } from "./operations";
import { useOrganization } from "./OrganizationProvider";

type Invitation = NonNullable<PeopleQuery["organization"]>["invitations"]["nodes"][number];

const FIELDS = ["email", "role"];

export function InvitationsSection({ invitations }: { invitations: readonly Invitation[] }) {
  const { id } = useOrganization();
  const invite = useAction(INVITE_MEMBER);
  const open = invitations.filter(({ status }) => status === "PENDING");

  function submit(values: FormData) {
    const role = text(values, "role") as OrganizationRole;
    return invite.run({ input: { organizationId: id, email: text(values, "email"), role } });
  }

  return (
    <section aria-labelledby="invitations-heading">
      <h2 id="invitations-heading">Invitations</h2>
      <form key={invite.idempotencyKey} className="card row-form" onSubmit={onSubmit((values) => void submit(values))} noValidate>
        <Field label="E-mail address" path="email" errors={invite.errors}>
          {(control) => <input {...control} type="email" autoComplete="off" />}
        </Field>
        <Field label="Role" path="role" errors={invite.errors}>
          {(control) => (
            <select {...control} defaultValue="MEMBER">
              {ROLES.slice(1).map((one) => <option key={one} value={one}>{words(one)}</option>)}
            </select>
          )}
        </Field>
        <Button type="submit" className="primary" isBusy={invite.isBusy}>Invite</Button>
        <FormErrors errors={invite.errors} except={FIELDS} />
      </form>
      {open.length > 0 && (
        <ul className="card list">
          {open.map((invitation) => <InvitationRow key={invitation.id} invitation={invitation} />)}
        </ul>
      )}
    </section>
  );
}

function InvitationRow({ invitation }: { invitation: Invitation }) {
  const { id, email, role, isExpired, expiresAt, token } = invitation;
  const revoke = useAction(REVOKE_INVITATION);
  return (
    <li>
      <div className="grow">
        <strong>{email}</strong>
        <div className="quiet">{words(role)}, until {day(expiresAt)}</div>
      </div>
      {isExpired && <Status value="EXPIRED" />}
      {token && (
        <Button onClick={() => void navigator.clipboard.writeText(`${window.location.origin}/invitation#${token}`)}>
          Copy link
        </Button>
      )}
      <Button className="danger" isBusy={revoke.isBusy} onClick={() => void revoke.run({ input: { id } })}>Revoke</Button>
      <FormErrors errors={revoke.errors} />
    </li>
  );
}
