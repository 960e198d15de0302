// Who is signed in: both tokens are kept, and renewed when the server no longer takes them.

import { REFRESH, type UserError } from "./documents.js";
import { ApiError, SignedOutError } from "./errors.js";
import type { Store } from "./store.js";

export interface Tokens {
  userId: string;
  accessToken: string;
  refreshToken: string;
}

interface Refreshed {
  refreshSession: {
    session: { accessToken: string; refreshToken: string; user: { id: string } } | null;
    errors: UserError[];
  };
}

/** Sends a document without a token; the transport gives it. */
export type SendPlainly = <T>(document: string, variables: object) => Promise<T>;

export class Session {
  #renewing: Promise<string> | null = null;

  constructor(
    private readonly store: Store,
    private readonly send: SendPlainly,
  ) {}

  async accessToken(): Promise<string> {
    const tokens = await this.store.state("tokens");
    if (!tokens) throw new SignedOutError();
    return tokens.accessToken;
  }

  /** Another access token than `refused`: one renewal, however many ask for it. */
  renewed(refused: string): Promise<string> {
    this.#renewing ??= this.#locked(() => this.#renew(refused)).finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  // Each refresh token is good once, so the tabs of a browser take turns.
  #locked(work: () => Promise<string>): Promise<string> {
    const locks = globalThis.navigator?.locks;
    return locks ? locks.request(`aura-session:${this.store.name}`, work) : work();
  }

  async #renew(refused: string): Promise<string> {
    const tokens = await this.store.state("tokens");
    if (!tokens) throw new SignedOutError();
    if (tokens.accessToken !== refused) return tokens.accessToken;
    const answer = await this.send<Refreshed>(REFRESH, { token: tokens.refreshToken });
    const { session, errors } = answer.refreshSession;
    if (!session) {
      const [error] = errors;
      if (error && error.code !== "UNAUTHENTICATED" && error.code !== "SESSION_EXPIRED") {
        throw new ApiError(error.code, error.message);
      }
      // What waits in the outbox stays, for when the same user signs in again.
      await this.store.setState("tokens", null);
      throw new SignedOutError();
    }
    const { accessToken, refreshToken } = session;
    await this.store.setState("tokens", { userId: session.user.id, accessToken, refreshToken });
    return accessToken;
  }
}
