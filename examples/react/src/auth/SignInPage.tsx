// Signs up and in, with what may be asked in between: a mailed code, another password, or a second factor.

import { useState } from "react";
import { Button, Field, FormErrors, onSubmit, text } from "../shared/Form";
import { Page } from "../shared/Page";
import { auth } from "./AuthProvider";
import type { AuthAnswer, Problem, Step } from "./authClient";

const WORDS = {
  signIn: { title: "Sign in", other: "signUp", question: "No account yet?" },
  signUp: { title: "Sign up", other: "signIn", question: "You have an account?" },
} as const;

type Mode = keyof typeof WORDS | "forgotten";

/** It stands at every address, so that who signs in finds the page that they came for. */
export function SignInPage() {
  const [mode, setMode] = useState<Mode>(window.location.pathname === "/invitation" ? "signUp" : "signIn");
  const [step, setStep] = useState<Step | null>(null);
  const [error, setError] = useState<Problem | null>(null);
  const [isBusy, setIsBusy] = useState(false);

  async function go(asked: Promise<AuthAnswer>) {
    setIsBusy(true);
    const { data, error: problem } = await asked;
    setError(problem);
    setStep(data.next ?? (problem ? step : null));
    setIsBusy(false);
  }

  function change(other: Mode) {
    setError(null);
    setMode(other);
  }

  const form = { errors: error ? [error] : [], isBusy, go };
  if (step?.kind === "NEW_PASSWORD") return <NewPasswordForm email={step.email} {...form} />;
  if (step) return <CodeForm step={step} {...form} />;
  if (mode === "forgotten") return <ForgottenForm onChange={change} {...form} />;
  return <PasswordForm key={mode} mode={mode} onChange={change} {...form} />;
}

type FormProps = { errors: Problem[]; isBusy: boolean; go: (asked: Promise<AuthAnswer>) => Promise<void> };

type PasswordFormProps = FormProps & { mode: keyof typeof WORDS; onChange: (other: Mode) => void };

function PasswordForm({ mode, onChange, errors, isBusy, go }: PasswordFormProps) {
  const { title, other, question } = WORDS[mode];

  function submit(values: FormData) {
    const credentials = { email: text(values, "email"), password: String(values.get("password")) };
    return go(mode === "signUp" ? auth.signUp(credentials) : auth.signInWithPassword(credentials));
  }

  return (
    <Page title={title}>
      <form className="card narrow" onSubmit={onSubmit((values) => void submit(values))} noValidate>
        <Field label="E-mail address" path="email" errors={errors}>
          {(control) => <input {...control} type="email" autoComplete="username" />}
        </Field>
        <Field
          label="Password"
          path="password"
          errors={errors}
          {...(mode === "signUp" && { hint: "At least 8 characters." })}
        >
          {(control) => (
            <input {...control} type="password" autoComplete={mode === "signUp" ? "new-password" : "current-password"} />
          )}
        </Field>
        <FormErrors errors={errors} except={["email", "password"]} />
        <Button type="submit" className="primary" isBusy={isBusy}>{title}</Button>
        <p className="quiet">
          {question} <button type="button" className="link" onClick={() => onChange(other)}>{WORDS[other].title}</button>
        </p>
        {mode === "signIn" && (
          <p className="quiet">
            <button type="button" className="link" onClick={() => onChange("forgotten")}>Forgot your password?</button>
          </p>
        )}
      </form>
    </Page>
  );
}

function ForgottenForm({ onChange, errors, isBusy, go }: FormProps & Pick<PasswordFormProps, "onChange">) {
  return (
    <Page title="Another password">
      <form
        className="card narrow"
        onSubmit={onSubmit((values) => void go(auth.resetPasswordForEmail(text(values, "email"))))}
        noValidate
      >
        <p>A code is mailed to the address of your account, with which you set another one.</p>
        <Field label="E-mail address" path="email" errors={errors}>
          {(control) => <input {...control} type="email" autoComplete="username" />}
        </Field>
        <FormErrors errors={errors} except={["email"]} />
        <Button type="submit" className="primary" isBusy={isBusy}>Mail a code</Button>
        <p className="quiet">
          <button type="button" className="link" onClick={() => onChange("signIn")}>Back to signing in</button>
        </p>
      </form>
    </Page>
  );
}

function NewPasswordForm({ email, errors, isBusy, go }: FormProps & { email: string }) {
  function submit(values: FormData) {
    const newPassword = String(values.get("newPassword"));
    return go(auth.resetPassword({ email, code: text(values, "code"), newPassword }));
  }

  return (
    <Page title="Another password">
      <form className="card narrow" onSubmit={onSubmit((values) => void submit(values))} noValidate>
        <p>If {email} has an account, a code is on its way to it.</p>
        <Field label="Code" path="code" errors={errors}>
          {(control) => <input {...control} inputMode="numeric" autoComplete="one-time-code" />}
        </Field>
        <Field label="New password" path="newPassword" errors={errors} hint="At least 8 characters.">
          {(control) => <input {...control} type="password" autoComplete="new-password" />}
        </Field>
        <FormErrors errors={errors} except={["code", "newPassword"]} />
        <Button type="submit" className="primary" isBusy={isBusy}>Set password</Button>
      </form>
    </Page>
  );
}

type CodeStep = Exclude<Step, { kind: "NEW_PASSWORD" }>;

function CodeForm({ step, errors, isBusy, go }: FormProps & { step: CodeStep }) {
  const isMail = step.kind === "CONFIRM_EMAIL";

  function submit(values: FormData) {
    const code = text(values, "code");
    return go(isMail
      ? auth.confirmEmail({ email: step.email, code, signUpToken: step.signUpToken })
      : auth.verifySecondFactor({ challengeId: step.challengeId, code }));
  }

  return (
    <Page title={isMail ? "Confirm your address" : "Second factor"}>
      <form className="card narrow" onSubmit={onSubmit((values) => void submit(values))} noValidate>
        <p>{isMail ? `A code is on its way to ${step.email}.` : "Your authenticator app shows a code."}</p>
        <Field label="Code" path="code" errors={errors}>
          {(control) => <input {...control} inputMode="numeric" autoComplete="one-time-code" />}
        </Field>
        <FormErrors errors={errors} except={["code"]} />
        <Button type="submit" className="primary" isBusy={isBusy}>Continue</Button>
      </form>
    </Page>
  );
}
