// Makes a workflow of three steps; what the server finds wrong stands beside the step.

import { useNavigate } from "react-router";
import { Button, Field, onSubmit, text } from "../shared/Form";
import { useAction } from "../shared/useAction";
import { LimitErrors } from "../billing/LimitErrors";
import { useOrganization } from "../organizations/OrganizationProvider";
import { definitionOf, EXAMPLE, PATHS, type Script } from "./definition";
import { CREATE_WORKFLOW } from "./operations";

const STEPS: readonly [keyof Script, string][] = [
  ["greeting", "First"],
  ["question", "Then"],
  ["farewell", "At the end"],
];
const FIELDS = ["name", ...Object.values(PATHS)];

export function NewWorkflowForm({ onClose }: { onClose: () => void }) {
  const { id } = useOrganization();
  const create = useAction(CREATE_WORKFLOW);
  const navigate = useNavigate();

  async function submit(values: FormData) {
    const written = Object.fromEntries(STEPS.map(([step]) => [step, text(values, PATHS[step])])) as Script;
    const made = await create.run({
      input: {
        organizationId: id,
        name: text(values, "name"),
        definition: definitionOf(written),
        idempotencyKey: create.idempotencyKey,
      },
    });
    if (made?.workflow) await navigate(`/workflows/${made.workflow.id}`);
  }

  return (
    <form className="card" aria-label="New workflow" onSubmit={onSubmit((values) => void submit(values))} noValidate>
      <Field label="Name" path="name" errors={create.errors}>
        {(control) => <input {...control} maxLength={100} autoComplete="off" />}
      </Field>
      {STEPS.map(([step, label]) => (
        <Field key={step} label={label} path={PATHS[step]} errors={create.errors}>
          {(control) => <textarea {...control} rows={2} defaultValue={EXAMPLE[step]} />}
        </Field>
      ))}
      <LimitErrors errors={create.errors} except={FIELDS} />
      <div className="actions">
        <Button type="submit" className="primary" isBusy={create.isBusy}>Create workflow</Button>
        <Button onClick={onClose}>Cancel</Button>
      </div>
    </form>
  );
}
