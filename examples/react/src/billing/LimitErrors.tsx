// The errors of a form; where the plan's limit is reached, with the way to a larger plan.

import { Link } from "react-router";
import { FormErrors } from "../shared/Form";
import type { Problem } from "../shared/useAction";

type Props = { errors: readonly (Problem & { limit?: number; used?: number })[]; except?: readonly string[] };

export function LimitErrors({ errors, except = [] }: Props) {
  const isFull = errors.some(({ code }) => code === "PLAN_LIMIT_REACHED");
  return (
    <>
      <FormErrors errors={errors} except={except} />
      {isFull && <p><Link to="/billing">See the plans</Link></p>}
    </>
  );
}
