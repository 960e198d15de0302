// Who is in an organization, and as what. The server decides what may be changed; a refusal stands in the row.

import type { OrganizationRole, PeopleQuery } from "../gql/graphql";
import { day } from "../shared/format";
import { Button, FormErrors } from "../shared/Form";
import { words } from "../shared/Status";
import { useAction } from "../shared/useAction";
import { REMOVE_MEMBER, SET_MEMBER_ROLE, TRANSFER_OWNERSHIP } from "./operations";
import { useOrganization, usePlaces } from "./OrganizationProvider";

export const ROLES: readonly OrganizationRole[] = ["OWNER", "ADMIN", "MEMBER", "VIEWER"];

type Member = NonNullable<PeopleQuery["organization"]>["members"]["nodes"][number];

export function MembersSection({ members }: { members: readonly Member[] }) {
  return (
    <section aria-labelledby="members-heading">
      <h2 id="members-heading">Members</h2>
      <ul className="card list">
        {members.map((member) => <MemberRow key={member.id} member={member} />)}
      </ul>
    </section>
  );
}

function MemberRow({ member }: { member: Member }) {
  const { user, role, joinedAt } = member;
  const { viewer } = usePlaces();
  const { id, isOwner, canManage } = useOrganization();
  const setRole = useAction(SET_MEMBER_ROLE);
  const remove = useAction(REMOVE_MEMBER);
  const transfer = useAction(TRANSFER_OWNERSHIP);
  const who = { organizationId: id, userId: user.id };
  const isSelf = user.id === viewer.id;
  const name = user.displayName ?? user.email ?? "Somebody";
  const may = canManage && !isSelf;
  return (
    <li>
      <div className="grow">
        <strong>{name}</strong>{isSelf && " (you)"}
        <div className="quiet">{user.email !== name && user.email} Since {day(joinedAt)}</div>
      </div>
      {may ? (
        <select
          aria-label={`Role of ${name}`}
          value={role}
          disabled={setRole.isBusy}
          onChange={(event) => void setRole.run({ input: { ...who, role: event.target.value as OrganizationRole } })}
        >
          {ROLES.map((one) => <option key={one} value={one}>{words(one)}</option>)}
        </select>
      ) : (
        <span className="quiet">{words(role)}</span>
      )}
      {may && isOwner && role !== "OWNER" && (
        <Button isBusy={transfer.isBusy} onClick={() => {
          if (window.confirm(`Make ${name} the owner? You will be an admin.`)) void transfer.run({ input: who });
        }}>Make owner</Button>
      )}
      {may && (
        <Button className="danger" isBusy={remove.isBusy} onClick={() => {
          if (window.confirm(`Remove ${name}?`)) void remove.run({ input: who });
        }}>Remove</Button>
      )}
      <FormErrors errors={[...setRole.errors, ...transfer.errors, ...remove.errors]} />
    </li>
  );
}
