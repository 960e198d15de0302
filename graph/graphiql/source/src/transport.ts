// How operations reach the server: POST for queries and mutations, a WebSocket for subscriptions.
import type { Fetcher, FetcherParams } from "@graphiql/toolkit";
import {
  type DocumentNode,
  type ExecutionResult,
  getOperationAST,
  GraphQLError,
  Kind,
  parse,
} from "graphql";
import { createClient } from "graphql-ws";

import { noteIdentifiers } from "./placeholders";
import { bearer, currentSession, isOurs, learnFrom } from "./session";

type Headers = Record<string, string>;

const PATH = "/graphql";
const RENEW_BEFORE_MILLISECONDS = 30_000;
const SOCKET_CHECK_MILLISECONDS = 10_000;
const REFRESH = `mutation RefreshSession($refreshToken: String!) {
  refreshSession(input: { refreshToken: $refreshToken }) {
    session { accessToken refreshToken expiresAt }
    errors { code message }
  }
}`;

let renewal: Promise<unknown> | null = null;

/** A fault of transport, shown like any other error (a thrown one would show its stack). */
function failure(message: string): ExecutionResult {
  return { errors: [new GraphQLError(message)] };
}

function send(parameters: FetcherParams, headers: Headers): Promise<Response> {
  return fetch(PATH, {
    method: "POST",
    credentials: "omit",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json, application/json;q=0.9",
      ...headers,
    },
    body: JSON.stringify(parameters),
  });
}

async function post(parameters: FetcherParams, headers: Headers): Promise<ExecutionResult> {
  let text = "";
  let status = "The server did not answer";
  try {
    const response = await send(parameters, headers);
    status = `HTTP ${response.status}`;
    text = await response.text();
    const result = JSON.parse(text) as ExecutionResult;
    learnFrom(result.data);
    noteIdentifiers(result.data);
    return result;
  } catch (error) {
    return failure(`${status}: ${text.slice(0, 500) || (error as Error).message}`);
  }
}

/** What the server has loaded; null where it does not say so within two seconds. */
export async function loadedSeed(): Promise<string | null> {
  try {
    const answer = await fetch("/graphiql/seed.json", { signal: AbortSignal.timeout(2_000) });
    const { seed } = (await answer.json()) as { seed: string | null };
    return seed ?? ((await hasSurveys()) ? "attuned" : null);
  } catch {
    return null;
  }
}

/** Whether there is a survey: a server that was seeded long ago does not say by which seed. */
async function hasSurveys(): Promise<boolean> {
  const { data } = await post({ query: "{ surveys { id } }" }, {});
  return Boolean((data as { surveys?: unknown[] } | undefined)?.surveys?.length);
}

function authorizationName(headers: Headers): string {
  const given = Object.keys(headers).find((name) => name.toLowerCase() === "authorization");
  return given ?? "Authorization";
}

async function renewIfDue(): Promise<void> {
  const session = currentSession();
  if (!session?.refreshToken) return;
  if (session.expiresAtMilliseconds - Date.now() > RENEW_BEFORE_MILLISECONDS) return;
  const variables = { refreshToken: session.refreshToken };
  renewal ??= post({ query: REFRESH, variables }, {}).finally(() => (renewal = null));
  await renewal;
}

/** The same headers, but with a fresh token where theirs is one of this page's own session. */
async function withFreshToken(headers: Headers): Promise<Headers> {
  const name = authorizationName(headers);
  if (!isOurs(headers[name])) return headers;
  await renewIfDue();
  const session = currentSession();
  return session && isOurs(headers[name]) ? { ...headers, [name]: bearer(session) } : headers;
}

function socketFailure(fault: unknown): ExecutionResult {
  if (Array.isArray(fault)) return { errors: fault };
  if (fault instanceof CloseEvent) {
    return failure(`The server closed the socket: ${fault.code} ${fault.reason}`.trim());
  }
  return failure(fault instanceof Error ? fault.message : "The WebSocket could not be opened.");
}

/** A socket outlives its token: whenever that was renewed, a ping carries the new one. */
function keepAuthorized(socket: WebSocket, headers: Headers): number {
  let sent = headers;
  return window.setInterval(async () => {
    const fresh = await withFreshToken(sent);
    const name = authorizationName(fresh);
    if (fresh[name] === sent[name]) return;
    sent = fresh;
    socket.send(JSON.stringify({ type: "ping", payload: { Authorization: fresh[name] } }));
  }, SOCKET_CHECK_MILLISECONDS);
}

function subscribe(parameters: FetcherParams, headers: Headers) {
  return {
    subscribe(observer: {
      next: (value: ExecutionResult) => void;
      complete: () => void;
    }) {
      let timer = 0;
      let fresh = headers;
      const client = createClient({
        url: `${location.origin.replace(/^http/, "ws")}${PATH}`,
        retryAttempts: 3,
        async connectionParams() {
          fresh = await withFreshToken(headers);
          const authorization = fresh[authorizationName(fresh)];
          return authorization ? { Authorization: authorization } : {};
        },
        on: {
          connected: (socket) => (timer = keepAuthorized(socket as WebSocket, fresh)),
          closed: () => window.clearInterval(timer),
        },
      });
      const stop = client.subscribe<Record<string, unknown>>(parameters, {
        next: (result) => observer.next(result as ExecutionResult),
        error(fault) {
          observer.next(socketFailure(fault));
          observer.complete();
        },
        complete: () => observer.complete(),
      });
      return {
        unsubscribe() {
          stop();
          void client.dispose();
        },
      };
    },
  };
}

function parsed(query: string): DocumentNode | null {
  try {
    return parse(query);
  } catch {
    // The server will say what is wrong with it.
    return null;
  }
}

/** GraphiQL learns of another tab's operation name a moment late; a lone operation tells its own. */
function withTrueName(parameters: FetcherParams, document: DocumentNode | null): FetcherParams {
  const operations = document?.definitions.filter(
    (definition) => definition.kind === Kind.OPERATION_DEFINITION,
  );
  if (operations?.length !== 1) return parameters;
  return { ...parameters, operationName: operations[0].name?.value };
}

export const fetcher = ((given, options) => {
  const headers = (options?.headers ?? {}) as Headers;
  const document = parsed(given.query);
  const parameters = withTrueName(given, document);
  const operation = document && getOperationAST(document, parameters.operationName);
  if (operation?.operation === "subscription") return subscribe(parameters, headers);
  return withFreshToken(headers).then((fresh) => post(parameters, fresh));
}) as Fetcher;

/** Runs one operation as the signed-in user; used by the guide's buttons. */
export async function request(
  query: string,
  variables: Record<string, unknown>,
): Promise<ExecutionResult<Record<string, any>>> {
  const session = currentSession();
  const headers: Headers = session ? { Authorization: bearer(session) } : {};
  return post({ query, variables }, await withFreshToken(headers));
}

interface Observer {
  next: (result: ExecutionResult<Record<string, any>>) => void;
}

/** Runs one subscription as the signed-in user; used by the guide. Returns how to end it. */
export function follow(
  query: string,
  variables: Record<string, unknown>,
  { next }: Observer,
): () => void {
  const session = currentSession();
  const headers: Headers = session ? { Authorization: bearer(session) } : {};
  return subscribe({ query, variables }, headers).subscribe({ next, complete: () => {} }).unsubscribe;
}
