// Fields with their labels and errors, and what a form says that belongs to no field.

import { type FormEvent, type ReactNode, useId } from "react";
import type { Problem } from "./useAction";

type FieldProps = {
  label: string;
  /** Where the server's errors point to: the path within `input`, with dots. */
  path: string;
  errors: readonly Problem[];
  hint?: string;
  children: (control: { id: string; name: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode;
};

export function Field({ label, path, errors, hint, children }: FieldProps) {
  const id = useId();
  const messages = errors.filter((error) => isAt(error, path)).map(({ message }) => message);
  const isWrong = messages.length > 0;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {hint && <p className="hint" id={`${id}-hint`}>{hint}</p>}
      {children({
        id,
        name: path,
        ...((hint || isWrong) && { "aria-describedby": `${id}-hint ${id}-error` }),
        ...(isWrong && { "aria-invalid": true }),
      })}
      <div id={`${id}-error`} role="alert">
        {messages.map((message) => <p key={message} className="error">{message}</p>)}
      </div>
    </div>
  );
}

/** The errors that none of the form's fields shows. */
export function FormErrors({ errors, except = [] }: { errors: readonly Problem[]; except?: readonly string[] }) {
  const left = errors.filter((error) => !except.some((path) => isAt(error, path)));
  return (
    <div role="alert">
      {left.map(({ message }) => <p key={message} className="error">{message}</p>)}
    </div>
  );
}

/** Whether an error is about a field, or about a part of it. */
function isAt({ path }: Problem, field: string): boolean {
  const at = path?.slice(path[0] === "input" ? 1 : 0).join(".") ?? "";
  return at === field || at.startsWith(`${field}.`);
}

/** Calls back with what was filled in, and stays on the page. */
export function onSubmit(handle: (values: FormData) => void) {
  return (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    handle(new FormData(event.currentTarget));
  };
}

export function text(values: FormData, name: string): string {
  return String(values.get(name) ?? "").trim();
}

export function Button({ isBusy, children, ...rest }: { isBusy?: boolean } & React.ComponentProps<"button">) {
  return (
    <button type="button" {...rest} disabled={rest.disabled || isBusy} aria-busy={isBusy}>
      {children}
    </button>
  );
}
