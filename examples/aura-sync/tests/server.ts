// What the tests need of a running server: TALLYGRAPH is its address, ADMIN_TOKEN an admin's access token.

import "fake-indexeddb/auto";

import assert from "node:assert/strict";

import { WebSocket } from "ws";

import { AuraClient, type AuraOptions, type Tokens } from "../src/index.js";

export const URL = process.env["TALLYGRAPH"] ?? "http://127.0.0.1:8000";
export const BACKOFF = { attempts: 3, firstMilliseconds: 5, mostMilliseconds: 50 };

let databases = 0;

/** A device: a client with a database of its own, or with the one of another of the same name. */
export function aDevice(options: Partial<AuraOptions> = {}): AuraClient {
  databases += 1;
  return new AuraClient({
    url: URL,
    name: `aura-${databases}`,
    surroundings: {},
    backoff: BACKOFF,
    gatherMilliseconds: 3_600_000,
    webSocketImpl: WebSocket,
    ...options,
  });
}

/** Asks the server without any client. */
export async function ask<T>(query: string, variables: object = {}, token?: string): Promise<T> {
  const headers = {
    "content-type": "application/json",
    ...(token ? { authorization: `Bearer ${token}` } : {}),
  };
  const body = JSON.stringify({ query, variables });
  const response = await fetch(`${URL}/graphql`, { method: "POST", headers, body });
  const { data, errors } = (await response.json()) as { data: T; errors?: unknown };
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

interface SignedIn {
  payload: {
    session: { accessToken: string; refreshToken: string; user: { id: string } } | null;
    errors: { code: string }[];
  };
}
const SESSION = "session { accessToken refreshToken user { id } } errors { code }";
const PASSWORD = "violet lantern 7";

function tokensOf({ payload: { session, errors } }: SignedIn): Tokens {
  assert.ok(session, JSON.stringify(errors));
  const { accessToken, refreshToken, user } = session;
  return { userId: user.id, accessToken, refreshToken };
}

/** The tokens of somebody who has just signed up, and their address. */
export async function signUp(): Promise<{ email: string; tokens: Tokens }> {
  const email = `${crypto.randomUUID()}@example.test`;
  const variables = { email, password: PASSWORD };
  const answer = await ask<SignedIn>(
    `mutation($email: String!, $password: String!) {
      payload: signUp(input: { email: $email, password: $password }) { ${SESSION} } }`,
    variables,
  );
  return { email, tokens: tokensOf(answer) };
}

/** The tokens of another session of theirs. */
export async function signIn(email: string): Promise<Tokens> {
  const variables = { email, password: PASSWORD };
  const answer = await ask<SignedIn>(
    `mutation($email: String!, $password: String!) {
      payload: signIn(input: { email: $email, password: $password }) { ${SESSION} } }`,
    variables,
  );
  return tokensOf(answer);
}

/** The tokens of somebody who only tries the app. */
export async function guest(): Promise<Tokens> {
  const answer = await ask<SignedIn>(
    `mutation { payload: signInAnonymously(input: {}) { ${SESSION} } }`,
  );
  return tokensOf(answer);
}

/** Devices of one user. */
export async function devicesOf(count: number, options: Partial<AuraOptions> = {}) {
  const tokens = await guest();
  const devices = [];
  for (let at = 0; at < count; at++) {
    const device = aDevice(options);
    await device.signIn(tokens);
    devices.push(device);
  }
  return { devices, tokens };
}

/** Waits until something holds. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(`never came: ${what}`);
}

/** What a device shows: profiles by name, with their chats. */
export async function shown(device: AuraClient) {
  const profiles = await device.store.shown();
  const rows = await Promise.all(
    profiles.map(async ({ id, localId, name, analysis }) => ({
      id,
      name,
      analysis,
      chat: (await device.store.chat(localId)).map(({ role, text }) => `${role}: ${text}`),
    })),
  );
  return rows.sort((one, other) => String(one.id).localeCompare(String(other.id)));
}

/** Syncs, and fails unless it worked. */
export async function synced(...devices: AuraClient[]): Promise<void> {
  for (const device of devices) {
    const { state, error } = await device.sync.sync();
    assert.equal(state, "idle", String(error));
  }
}
