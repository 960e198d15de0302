// Signing up, in and out, and a session that is renewed in time: once for all who wait, in all tabs.

export type Session = {
  accessToken: string;
  refreshToken: string;
  user: { id: string; email: string | null };
  /** By this device's clock: before this the access token needs no renewal. */
  renewAt: number;
};
export type AuthEvent = "INITIAL_SESSION" | "SIGNED_IN" | "SIGNED_OUT" | "TOKEN_REFRESHED";
export type Problem = { code: string; message: string; path: readonly string[] | null };
export type Credentials = { email: string; password: string };
/** What is missing before there is a session. */
export type Step =
  | { kind: "CONFIRM_EMAIL"; email: string; signUpToken: string | null }
  | { kind: "NEW_PASSWORD"; email: string }
  | { kind: "SECOND_FACTOR"; challengeId: string };
export type AuthAnswer = { data: { session: Session | null; next: Step | null }; error: Problem | null };
type Listener = (event: AuthEvent, session: Session | null) => void;
type Payload = {
  session: (Omit<Session, "renewAt"> & { expiresAt: string }) | null;
  secondFactor: { challengeId: string } | null;
  signUpToken: string | null;
  errors: Problem[];
};

const KEY = "tallygraph.session";
const LOCK = "tallygraph.renewal";
const MARGIN_MILLISECONDS = 60_000;
const RETRY_MILLISECONDS = 5_000;
const SETTLE_MILLISECONDS = 250;
const SESSION = `session { accessToken refreshToken expiresAt user { id email } }
  secondFactor { challengeId } signUpToken errors { code message path }`;
const UNREACHABLE = { code: "UNREACHABLE", message: "The server can't be reached. Try again in a moment.", path: null };

export class AuthClient {
  #url: string;
  #listeners = new Set<Listener>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #renewing: Promise<Session | null> | null = null;
  #shown: Session | null;

  constructor(url: string) {
    this.#url = url;
    this.#shown = this.#stored();
    this.#schedule(this.#shown);
    window.addEventListener("storage", (event) => {
      if (event.key === KEY || event.key === null) this.#tell(this.#stored());
    });
  }

  signUp(credentials: Credentials): Promise<AuthAnswer> {
    return this.#enter("signUp", "SignUpInput", credentials);
  }

  signInWithPassword(credentials: Credentials): Promise<AuthAnswer> {
    return this.#enter("signIn", "SignInInput", credentials);
  }

  /** The second factor that a sign-in asked for: a code of an app, or one for recovery. */
  verifySecondFactor(input: { challengeId: string; code: string }): Promise<AuthAnswer> {
    return this.#enter("verifySecondFactor", "VerifySecondFactorInput", input);
  }

  /** The code that was mailed after signing up, where addresses are confirmed. */
  confirmEmail(input: { email: string; code: string; signUpToken: string | null }): Promise<AuthAnswer> {
    return this.#enter("confirmEmail", "ConfirmEmailInput", input);
  }

  /** Mails a code for another password. The answer is the same for an address that has no account. */
  async resetPasswordForEmail(email: string): Promise<AuthAnswer> {
    const query = `mutation ($input: RequestPasswordResetInput!) {
      requestPasswordReset(input: $input) { errors { code message path } } }`;
    try {
      const { requestPasswordReset } = await this.#post(query, { input: { email } });
      const error = (requestPasswordReset as Pick<Payload, "errors">).errors[0] ?? null;
      return { data: { session: null, next: error ? null : { kind: "NEW_PASSWORD", email } }, error };
    } catch {
      return { data: { session: null, next: null }, error: UNREACHABLE };
    }
  }

  /** Sets another password with the code that was mailed. All other sessions end, and this device is signed in. */
  resetPassword(input: { email: string; code: string; newPassword: string }): Promise<AuthAnswer> {
    return this.#enter("resetPassword", "ResetPasswordInput", input);
  }

  /** Ends the session here and at the server; here also when the server can't be reached. */
  async signOut(): Promise<{ error: Problem | null }> {
    const session = await this.#fresh();
    this.#keep(null);
    if (!session) return { error: null };
    try {
      await this.#post("mutation { signOut { errors { code } } }", {}, session);
      return { error: null };
    } catch {
      return { error: UNREACHABLE };
    }
  }

  /** Who is signed in, with an access token that is good. */
  async getSession(): Promise<{ data: { session: Session | null } }> {
    return { data: { session: await this.#fresh() } };
  }

  /** Another access token than the one of `stale`, whatever its age; the one that is stored when it is another. */
  async refreshSession(stale = this.#stored()): Promise<{ data: { session: Session | null } }> {
    return { data: { session: stale && (await this.#renew(stale)) } };
  }

  /** Tells of the session now, and of every change in any tab, until unsubscribed. */
  onAuthStateChange(listener: Listener) {
    this.#listeners.add(listener);
    const session = this.#shown;
    queueMicrotask(() => this.#listeners.has(listener) && listener("INITIAL_SESSION", session));
    return { data: { subscription: { unsubscribe: () => void this.#listeners.delete(listener) } } };
  }

  /** `fetch` as whoever is signed in; an access token that is refused is renewed, and the request sent again. */
  fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const session = await this.#fresh();
    const answer = await fetch(input, withToken(init, session));
    if (answer.status !== 401 || !session) return answer;
    const renewed = await this.#renew(session);
    return renewed ? fetch(input, withToken(init, renewed)) : answer;
  };

  async #enter(name: string, inputType: string, input: object): Promise<AuthAnswer> {
    let payload: Payload;
    try {
      payload = await this.#ask(name, inputType, input);
    } catch {
      return { data: { session: null, next: null }, error: UNREACHABLE };
    }
    const error = payload.errors[0] ?? null;
    if (payload.session) this.#keep(withRenewal(payload.session));
    return { data: { session: this.#stored(), next: error ? null : nextStep(payload, input) }, error };
  }

  async #fresh(): Promise<Session | null> {
    const session = this.#stored();
    return session && Date.now() >= session.renewAt ? this.#renew(session) : session;
  }

  /** One renewal at a time in this tab, and by the lock in all of them: a refresh token is good for one. */
  #renew(stale: Session): Promise<Session | null> {
    this.#renewing ??= inTurn(() => this.#renewAlone(stale)).finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  async #renewAlone(stale: Session): Promise<Session | null> {
    const known = this.#stored();
    if (known?.accessToken !== stale.accessToken) return known;
    try {
      const { session, errors } = await this.#ask("refreshSession", "RefreshSessionInput", {
        refreshToken: known.refreshToken,
      });
      if (session) this.#keep(withRenewal(session));
      else if (errors.some(({ code }) => code === "UNAUTHENTICATED" || code === "SESSION_EXPIRED")) this.#keep(null);
    } catch {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.#fresh(), RETRY_MILLISECONDS);
    }
    return this.#stored();
  }

  async #ask(name: string, inputType: string, input: object): Promise<Payload> {
    const query = `mutation ($input: ${inputType}!) { ${name}(input: $input) { ${SESSION} } }`;
    return (await this.#post(query, { input }))[name] as Payload;
  }

  async #post(query: string, variables: object, session: Session | null = null): Promise<Record<string, unknown>> {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ query, variables });
    const answer = await fetch(this.#url, withToken({ method: "POST", headers, body }, session));
    const { data, errors } = (await answer.json()) as { data?: Record<string, unknown>; errors?: { message: string }[] };
    if (!data) throw new Error(errors?.[0]?.message ?? `HTTP ${answer.status}`);
    return data;
  }

  #stored(): Session | null {
    const kept = localStorage.getItem(KEY);
    return kept ? (JSON.parse(kept) as Session) : null;
  }

  #keep(session: Session | null): void {
    if (session) localStorage.setItem(KEY, JSON.stringify(session));
    else localStorage.removeItem(KEY);
    this.#tell(session);
  }

  #tell(session: Session | null): void {
    const before = this.#shown;
    if (before?.accessToken === session?.accessToken) return;
    this.#shown = session;
    this.#schedule(session);
    const isSame = session && before?.user.id === session.user.id;
    const event = isSame ? "TOKEN_REFRESHED" : session ? "SIGNED_IN" : "SIGNED_OUT";
    for (const listener of this.#listeners) listener(event, session);
  }

  #schedule(session: Session | null): void {
    clearTimeout(this.#timer);
    if (session) this.#timer = setTimeout(() => void this.#fresh(), Math.max(0, session.renewAt - Date.now()));
  }
}

/** What `renew` gives, while no other tab renews. */
function inTurn<T>(renew: () => Promise<T>): Promise<T> {
  // Pages without TLS have no locks; there the server takes a token twice within seconds.
  if (!navigator.locks) return renew();
  return new Promise((resolve, reject) => {
    const holding = navigator.locks.request(LOCK, async () => {
      resolve(await renew());
      // What this tab stores comes to the others a moment later: until then none of them has its turn.
      await new Promise((settled) => setTimeout(settled, SETTLE_MILLISECONDS));
    });
    holding.catch(reject);
  });
}

function withToken(init: RequestInit, session: Session | null): RequestInit {
  const headers = new Headers(init.headers);
  if (session) headers.set("Authorization", `Bearer ${session.accessToken}`);
  return { ...init, headers };
}

/** How long the token lasts is read from it: this device's clock may be wrong, but it goes as fast. */
function withRenewal({ accessToken, refreshToken, user }: NonNullable<Payload["session"]>): Session {
  const body = accessToken.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
  const { iat, exp } = JSON.parse(atob(body)) as { iat: number; exp: number };
  const lasts = (exp - iat) * 1000;
  const renewAt = Date.now() + Math.max(lasts - MARGIN_MILLISECONDS, lasts / 2);
  return { accessToken, refreshToken, user, renewAt };
}

function nextStep({ session, secondFactor, signUpToken }: Payload, input: object): Step | null {
  if (session) return null;
  if (secondFactor) return { kind: "SECOND_FACTOR", challengeId: secondFactor.challengeId };
  if ("password" in input) return { kind: "CONFIRM_EMAIL", email: (input as Credentials).email, signUpToken };
  return null;
}
