// Makes an organization, and goes on to work in it.

import { useNavigate } from "react-router";
import { Button, Field, FormErrors, onSubmit, text } from "../shared/Form";
import { Page } from "../shared/Page";
import { useAction } from "../shared/useAction";
import { CREATE_ORGANIZATION, SELECT_ORGANIZATION } from "./operations";

export function NewOrganizationPage() {
  const create = useAction(CREATE_ORGANIZATION);
  const select = useAction(SELECT_ORGANIZATION);
  const navigate = useNavigate();

  async function submit(values: FormData) {
    const made = await create.run({
      input: { name: text(values, "name"), idempotencyKey: create.idempotencyKey },
    });
    if (!made?.organization) return;
    await select.run({ input: { organizationId: made.organization.id } });
    await navigate("/");
  }

  return (
    <Page title="New organization">
      <p className="quiet">People work together in an organization, and it is what a plan is paid for.</p>
      <form className="card narrow" onSubmit={onSubmit((values) => void submit(values))} noValidate>
        <Field label="Name" path="name" errors={create.errors}>
          {(control) => <input {...control} autoComplete="organization" maxLength={100} />}
        </Field>
        <FormErrors errors={[...create.errors, ...select.errors]} except={["name"]} />
        <Button type="submit" className="primary" isBusy={create.isBusy || select.isBusy}>Create organization</Button>
      </form>
    </Page>
  );
}
