// Who is signed in on this page, learnt from responses and kept in memory only.
import { useSyncExternalStore } from "react";

export interface Session {
  accessToken: string;
  refreshToken: string | null;
  expiresAtMilliseconds: number;
  userName: string;
}

interface SessionPayload {
  session?: {
    accessToken?: string;
    refreshToken?: string;
    expiresAt?: string;
    user?: { email?: string | null; isAnonymous?: boolean } | null;
  } | null;
  errors?: unknown[];
}

let current: Session | null = null;
// Every Authorization value the present session has had; each renewal adds one.
const authorizations = new Set<string>();
const listeners = new Set<() => void>();

export function currentSession(): Session | null {
  return current;
}

function setSession(session: Session | null, renewed = false): void {
  if (!renewed) authorizations.clear();
  if (session) authorizations.add(bearer(session));
  current = session;
  listeners.forEach((listener) => listener());
}

export function forgetSession(): void {
  setSession(null);
}

/** Whether this value belongs to the present session, be it from before a renewal. */
export function isOurs(authorization: string): boolean {
  return authorizations.has(authorization);
}

/** Calls `listener` whenever somebody signs in or out, or a token is renewed. */
export function onSessionChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useSession(): Session | null {
  return useSyncExternalStore(onSessionChange, currentSession);
}

export function bearer(session: Session): string {
  return `Bearer ${session.accessToken}`;
}

function userName(user: NonNullable<SessionPayload["session"]>["user"]): string {
  if (user?.email) return user.email;
  return user?.isAnonymous ? "a guest" : (current?.userName ?? "a user");
}

/** Any root field with a session in its payload signs in (signUp, signIn, …); signOut signs out. */
export function learnFrom(data: Record<string, unknown> | null | undefined): void {
  for (const [field, value] of Object.entries(data ?? {})) {
    const payload = (value ?? {}) as SessionPayload;
    const accessToken = payload.session?.accessToken;
    if (accessToken) {
      const { refreshToken, expiresAt, user } = payload.session!;
      const session = {
        accessToken,
        refreshToken: refreshToken ?? null,
        expiresAtMilliseconds: expiresAt ? Date.parse(expiresAt) : Infinity,
        userName: userName(user),
      };
      setSession(session, field === "refreshSession");
    } else if (field === "signOut" && value && !payload.errors?.length) {
      forgetSession();
    }
  }
}
