// Runs a mutation and keeps what is wrong with it, for the form to show beside its fields.

import type { OperationVariables, TypedDocumentNode } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { useMutation } from "@apollo/client/react";
import { useState } from "react";

export type Problem = {
  code: string;
  message: string;
  path?: readonly string[] | null;
};

type Payload = { errors: readonly Problem[] };

/** The payload of a mutation that has one root field, as all here do. */
type PayloadOf<Data> = NonNullable<Data[keyof Data]>;

export type Action<Payload, Variables> = {
  /** The payload; null when nothing was done, and `errors` says why. */
  run: (variables: Variables) => Promise<Payload | null>;
  errors: readonly Problem[];
  isBusy: boolean;
  /** Stays until something was done, so that a request that is sent twice is done once; the `key` of a form to empty. */
  idempotencyKey: string;
};

export function useAction<Data, Variables extends OperationVariables>(
  document: TypedDocumentNode<Data, Variables>,
): Action<PayloadOf<Data>, Variables> {
  const [mutate, { loading }] = useMutation(document as TypedDocumentNode<unknown, OperationVariables>);
  const [errors, setErrors] = useState<readonly Problem[]>([]);
  const [idempotencyKey, setIdempotencyKey] = useState(newKey);

  async function run(variables: Variables): Promise<PayloadOf<Data> | null> {
    setErrors([]);
    try {
      const { data } = await mutate({ variables });
      const payload = Object.values(data as Record<string, (Payload & PayloadOf<Data>) | null>)[0];
      setErrors(payload?.errors ?? []);
      if (!payload || payload.errors.length > 0) return null;
      setIdempotencyKey(newKey());
      return payload;
    } catch (error) {
      setErrors([problemOf(error)]);
      return null;
    }
  }

  return { run, errors, isBusy: loading, idempotencyKey };
}

/** What to say of a fault that is none of the input's. */
export function problemOf(error: unknown): Problem {
  const first = CombinedGraphQLErrors.is(error) ? error.errors[0] : undefined;
  if (first) return { code: String(first.extensions?.["code"]), message: first.message };
  return { code: "UNREACHABLE", message: "The server can't be reached. Try again in a moment." };
}

function newKey(): string {
  return crypto.randomUUID();
}
