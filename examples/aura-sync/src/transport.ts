// How requests and subscriptions travel: POSTs, and one WebSocket for all that is live.

import { createClient, type Client as SocketClient } from "graphql-ws";

import { pauseAfter, wait, type Backoff } from "./backoff.js";
import { ApiError, AwayError, isPassing, SignedOutError } from "./errors.js";
import { Session } from "./session.js";
import type { Store } from "./store.js";

interface Answer<T> {
  data?: T | null;
  errors?: { message: string; path?: (string | number)[]; extensions?: { code?: string } }[];
}

export interface TransportOptions {
  url: string;
  store: Store;
  backoff: Backoff;
  fetch?: typeof globalThis.fetch;
  /** For Node before 22, which has no WebSocket of its own. */
  webSocketImpl?: unknown;
}

const ANSWER_MILLISECONDS = 60_000;
const REFUSALS = new Map([
  [400, "BAD_USER_INPUT"],
  [413, "LIMIT_EXCEEDED"],
]);
// Of `graphql-transport-ws`, as the server closes: docs/errors.md.
const TOKEN_REFUSED = new Set([4401, 4403]);

export class Transport {
  readonly session: Session;
  #socket: SocketClient | null = null;
  #socketToken = "";

  constructor(private readonly options: TransportOptions) {
    this.session = new Session(options.store, (document, variables) =>
      this.#post(document, variables, null),
    );
  }

  /** The answer of a query or mutation; an expired token is renewed on the way. */
  async ask<T>(document: string, variables: object = {}): Promise<T> {
    const token = await this.session.accessToken();
    try {
      return await this.#post<T>(document, variables, token);
    } catch (error) {
      if (!isUnauthenticated(error)) throw error;
      return await this.#post<T>(document, variables, await this.session.renewed(token));
    }
  }

  /** The same, tried again while the server is away. Only for what may be sent twice. */
  async askPatiently<T>(document: string, variables: object, signal?: AbortSignal): Promise<T> {
    for (let failures = 1; ; failures++) {
      try {
        return await this.ask<T>(document, variables);
      } catch (error) {
        if (!(error instanceof AwayError) || failures >= this.options.backoff.attempts) throw error;
        await wait(error.waitMilliseconds ?? pauseAfter(failures, this.options.backoff), signal);
        if (signal?.aborted) throw error;
      }
    }
  }

  /**
   * The items of a subscription, through every loss of the line until `signal` ends it. `variables`
   * is asked for at each beginning, so that it can go on behind the last cursor.
   */
  async *watch<T>(
    document: string,
    variables: () => Promise<Record<string, unknown>>,
    signal: AbortSignal,
  ): AsyncGenerator<T, void, void> {
    for (let failures = 0; !signal.aborted; ) {
      try {
        for await (const item of this.#items<T>(document, await variables(), signal)) {
          failures = 0;
          yield item;
        }
        if (!signal.aborted) return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError || error instanceof SignedOutError) throw error;
        failures += 1;
        if (isTokenRefused(error)) await this.#renewForSocket();
        await wait(pauseAfter(failures, this.options.backoff), signal);
      }
    }
  }

  async close(): Promise<void> {
    await this.#socket?.dispose();
    this.#socket = null;
  }

  async *#items<T>(
    query: string,
    variables: Record<string, unknown>,
    signal: AbortSignal,
  ): AsyncGenerator<T, void, void> {
    this.#socket ??= this.#open();
    const items = this.#socket.iterate<T>({ query, variables });
    const stop = () => void items.return?.(undefined);
    signal.addEventListener("abort", stop);
    try {
      for await (const item of items) yield dataOf(item as Answer<T>);
    } catch (error) {
      // What the server says of the operation itself comes as a list of errors.
      throw Array.isArray(error) ? apiError(error[0]) : error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #open(): SocketClient {
    return createClient({
      url: `${this.options.url.replace(/^http/, "ws")}/graphql`,
      webSocketImpl: this.options.webSocketImpl,
      connectionParams: async () => {
        this.#socketToken = await this.session.accessToken();
        return { Authorization: `Bearer ${this.#socketToken}` };
      },
      keepAlive: 12_000,
      // `watch` comes back by itself, behind the last cursor.
      retryAttempts: 0,
    });
  }

  async #renewForSocket(): Promise<void> {
    try {
      await this.session.renewed(this.#socketToken);
    } catch (error) {
      if (!(error instanceof AwayError)) throw error;
    }
  }

  async #post<T>(document: string, variables: object, token: string | null): Promise<T> {
    const fetch = this.options.fetch ?? globalThis.fetch;
    let response: Response | undefined;
    let answer: Answer<T>;
    try {
      response = await fetch(`${this.options.url}/graphql`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json",
          ...(token ? { authorization: `Bearer ${token}` } : {}),
        },
        body: JSON.stringify({ query: document, variables }),
        signal: AbortSignal.timeout(ANSWER_MILLISECONDS),
      });
      answer = (await response.json()) as Answer<T>;
    } catch (error) {
      refuseByStatus(response);
      throw new AwayError(`The server did not answer: ${String(error)}`);
    }
    if (!answer.errors?.length) refuseByStatus(response);
    const code = answer.errors?.[0]?.extensions?.code ?? "";
    if (isPassing(code) || response.status >= 500) {
      const seconds = Number(response.headers.get("retry-after"));
      throw new AwayError(code || `HTTP ${response.status}`, seconds ? seconds * 1_000 : undefined);
    }
    return dataOf(answer);
  }
}

/** A proxy before the server refuses without a code of ours; to send the same again is no use. */
function refuseByStatus(response: Response | undefined): void {
  const code = response && REFUSALS.get(response.status);
  if (code) throw new ApiError(code, `The request was refused (HTTP ${response.status}).`);
}

function dataOf<T>(answer: Answer<T>): T {
  const [error] = answer.errors ?? [];
  if (error) throw apiError(error);
  if (!answer.data) throw new ApiError("INTERNAL", "The answer has neither data nor errors.");
  return answer.data;
}

function apiError(error: NonNullable<Answer<unknown>["errors"]>[number] | undefined): Error {
  const code = error?.extensions?.code ?? "INTERNAL";
  const path = (error?.path ?? []).map(String);
  return isPassing(code)
    ? new AwayError(code)
    : new ApiError(code, error?.message ?? "No reason was given.", path);
}

function isUnauthenticated(error: unknown): boolean {
  return error instanceof ApiError && error.code === "UNAUTHENTICATED";
}

function isTokenRefused(error: unknown): boolean {
  return TOKEN_REFUSED.has((error as { code?: number } | null)?.code ?? 0);
}
