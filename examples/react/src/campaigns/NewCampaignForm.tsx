// Sends a list of contacts, and makes a campaign that calls them.

import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { Button, Field, onSubmit, text } from "../shared/Form";
import { type Problem, useAction } from "../shared/useAction";
import { LimitErrors } from "../billing/LimitErrors";
import { useOrganization } from "../organizations/OrganizationProvider";
import { CREATE_CAMPAIGN, CREATE_CONTACT_LIST } from "./operations";

type Props = { workflows: readonly { id: string; name: string }[]; onClose: () => void };

const FIELDS = ["name", "workflowId", "contactListId", "callsPerSecond", "concurrency"];
const NO_FILE = "Choose a file.";
const NOT_SENT = "The file could not be sent. Try again.";

export function NewCampaignForm({ workflows, onClose }: Props) {
  const send = useContactList();
  const create = useAction(CREATE_CAMPAIGN);
  const navigate = useNavigate();
  const errors = [...send.errors, ...create.errors];

  async function submit(values: FormData) {
    const contactListId = await send.run(values.get("contactListId") as File);
    if (!contactListId) return;
    const made = await create.run({
      input: {
        contactListId,
        workflowId: text(values, "workflowId"),
        name: text(values, "name"),
        timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
        callsPerSecond: Number(text(values, "callsPerSecond")),
        concurrency: Number(text(values, "concurrency")),
        idempotencyKey: create.idempotencyKey,
      },
    });
    if (made?.campaign) await navigate(`/campaigns/${made.campaign.id}`);
  }

  if (workflows.length === 0) {
    return <p className="card">A campaign calls with a published workflow. <Link to="/">Publish one first.</Link></p>;
  }
  return (
    <form className="card" aria-label="New campaign" onSubmit={onSubmit((values) => void submit(values))} noValidate>
      <Field label="Name" path="name" errors={errors}>
        {(control) => <input {...control} maxLength={255} autoComplete="off" />}
      </Field>
      <Field label="Workflow" path="workflowId" errors={errors}>
        {(control) => (
          <select {...control}>{workflows.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}</select>
        )}
      </Field>
      <Field
        label="Contacts"
        path="contactListId"
        errors={errors}
        hint="A CSV file. Its first row names the columns, one of them phone_number (such as +4930901820)."
      >
        {(control) => <input {...control} type="file" accept=".csv,text/csv" />}
      </Field>
      <div className="columns">
        <Field label="Calls a second" path="callsPerSecond" errors={errors}>
          {(control) => <input {...control} type="number" defaultValue={5} min={0.01} max={100} step="any" />}
        </Field>
        <Field label="Calls at once" path="concurrency" errors={errors}>
          {(control) => <input {...control} type="number" defaultValue={20} min={1} max={1000} />}
        </Field>
      </div>
      <LimitErrors errors={errors} except={FIELDS} />
      <div className="actions">
        <Button type="submit" className="primary" isBusy={send.isBusy || create.isBusy}>Create campaign</Button>
        <Button onClick={onClose}>Cancel</Button>
      </div>
    </form>
  );
}

/** Sends a file to the address that the server gives for it; what fails is told beside the file. */
function useContactList() {
  const { id } = useOrganization();
  const create = useAction(CREATE_CONTACT_LIST);
  const [problem, setProblem] = useState<string | null>(null);
  const [isSending, setIsSending] = useState(false);

  async function run(file: File): Promise<string | null> {
    setProblem(file.size > 0 ? null : NO_FILE);
    if (file.size === 0) return null;
    const made = await create.run({ input: { organizationId: id, sizeBytes: file.size } });
    if (!made?.contactList) return null;
    setIsSending(true);
    const isSent = await put(made.contactList.url, file);
    setIsSending(false);
    if (!isSent) setProblem(NOT_SENT);
    return isSent ? made.contactList.id : null;
  }

  const told: Problem[] = create.errors.map((error) => ({ ...error, path: ["contactListId"] }));
  if (problem) told.push({ code: "FILE", message: problem, path: ["contactListId"] });
  return { run, errors: told, isBusy: create.isBusy || isSending };
}

async function put(url: string, file: File): Promise<boolean> {
  try {
    const answer = await fetch(url, { method: "PUT", body: file, headers: { "Content-Type": "text/csv" } });
    return answer.ok;
  } catch {
    return false;
  }
}
