// Chooses the organization to work in.

import { useNavigate } from "react-router";
import { useAction } from "../shared/useAction";
import { SELECT_ORGANIZATION } from "./operations";
import { usePlaces } from "./OrganizationProvider";

const NEW = "new";

export function OrganizationSwitcher() {
  const { places, current } = usePlaces();
  const select = useAction(SELECT_ORGANIZATION);
  const navigate = useNavigate();

  async function choose(id: string) {
    if (id === NEW) return navigate("/organizations/new");
    if (await select.run({ input: { organizationId: id } })) await navigate("/");
  }

  if (!current) return null;
  return (
    <label className="switcher">
      <span className="visually-hidden">Organization</span>
      <select value={current.id} disabled={select.isBusy} onChange={(event) => void choose(event.target.value)}>
        {places.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
        <option value={NEW}>New organization…</option>
      </select>
    </label>
  );
}
