// The sync: sends what waits, takes in what others changed, and knows when to do it again.

import type { Refusal } from "./changes.js";
import {
  RESOLVE,
  SYNC,
  WATCH_PROFILES,
  WATCH_SWITCHES,
  type Strategy,
  type Switches,
  type SyncPayload,
  type UserError,
} from "./documents.js";
import { ApiError, AwayError, isLasting, SignedOutError } from "./errors.js";
import { MOST_CHANGES, type Store } from "./store.js";
import type { Transport } from "./transport.js";

export type SyncState = "idle" | "syncing" | "offline" | "off" | "signedOut" | "error";

export interface SyncStatus {
  state: SyncState;
  lastSyncAt: string | null;
  /** Changes that are to be sent. */
  pendingChanges: number;
  /** What the server refused: set aside until it is edited. */
  refused: (Refusal & { localId: number })[];
  error: Error | null;
}

/** What of a browser's page the triggers listen to; none of it exists in a worker or in Node. */
export interface Surroundings {
  document?: EventTarget & { visibilityState: string };
  window?: EventTarget;
}

export interface SyncOptions {
  store: Store;
  transport: Transport;
  strategy: Strategy;
  surroundings: Surroundings;
  everyMilliseconds: number;
  /** How long changes are gathered before they are sent. */
  gatherMilliseconds: number;
}

export class SyncService {
  #running: Promise<SyncStatus> | null = null;
  #again = false;
  #stopping = new AbortController();
  #gathering: ReturnType<typeof setTimeout> | null = null;
  #listeners = new Set<(status: SyncStatus) => void>();
  #status: SyncStatus = {
    state: "idle",
    lastSyncAt: null,
    pendingChanges: 0,
    refused: [],
    error: null,
  };

  constructor(private readonly options: SyncOptions) {}

  get status(): SyncStatus {
    return this.#status;
  }

  /** Calls `listener` with each new status; gives what ends that. */
  onStatus(listener: (status: SyncStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Syncs now and on every occasion: visible again, online again, every few minutes, told live. */
  start(): void {
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    const { document, window } = this.options.surroundings;
    const sync = () => void this.sync();
    document?.addEventListener(
      "visibilitychange",
      () => document.visibilityState === "visible" && sync(),
      { signal },
    );
    window?.addEventListener("online", sync, { signal });
    const timer = setInterval(sync, this.options.everyMilliseconds);
    signal.addEventListener("abort", () => clearInterval(timer));
    this.#follow(this.#followProfiles(signal));
    this.#follow(this.#followSwitches(signal));
    void this.options.store.tryAgain().then(sync, sync);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#gathering) clearTimeout(this.#gathering);
    this.#gathering = null;
    await this.#running;
  }

  /** After a mutation: soon, together with those that follow. */
  soon(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = null;
      void this.sync();
    }, this.options.gatherMilliseconds);
  }

  /** One sync at a time. Asked for while one runs, another follows it, and both give its outcome. */
  sync(): Promise<SyncStatus> {
    if (this.#running) this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Settles a conflict for good: what holds stays, or what lost comes back. */
  async resolve(conflictId: string, keep: "CURRENT" | "LOST"): Promise<void> {
    const { transport, store } = this.options;
    const variables = { id: conflictId, keep };
    const answer = await transport.askPatiently<{ resolveConflict: { errors: UserError[] } }>(
      RESOLVE,
      variables,
    );
    refuse(answer.resolveConflict.errors);
    await store.conflicts.update(conflictId, { status: "RESOLVED" });
    await this.sync();
  }

  async #run(): Promise<SyncStatus> {
    await this.#tell("syncing");
    try {
      do {
        this.#again = false;
        if ((await this.options.store.state("switches"))?.syncEnabled === false) {
          return await this.#tell("off");
        }
        await this.#exchange();
      } while (this.#again && !this.#stopping.signal.aborted);
      return await this.#tell("idle");
    } catch (error) {
      return await this.#tell(...stateAfter(error));
    }
  }

  /**
   * Batches out and pages in, until neither is left. Each is done or not: it may end anywhere. The
   * server tells what it refuses of a batch; of a request that is refused as a whole, halves are sent,
   * down to the one change that is to be set aside.
   */
  async #exchange(): Promise<void> {
    const { store } = this.options;
    let most = MOST_CHANGES;
    let hasWorked = false;
    for (let goesOn = true; goesOn; ) {
      const { changes, inputs, since } = await store.nextBatch(most);
      let payload: SyncPayload | null;
      try {
        payload = await this.#send(inputs, since);
      } catch (error) {
        const [first] = changes;
        if (!first || !isLasting(error)) throw error;
        // Where a request without any change is refused, too, no change is to blame.
        if (changes.length > 1 || !hasWorked) most = Math.floor(changes.length / 2);
        else await store.refuse(first, { code: error.code, message: error.reason });
        continue;
      }
      if (!payload) {
        await store.beginAnew();
        continue;
      }
      await store.take(changes, payload);
      if (changes.length && !payload.accepted.length && !payload.refused.length) {
        throw new ApiError("INTERNAL", "The server did not say what became of the changes.");
      }
      hasWorked = true;
      most = Math.min(Math.max(2 * most, 1), MOST_CHANGES);
      goesOn = payload.hasMore || (await store.waiting()) > 0;
    }
  }

  /** The answer to one batch; null when the cursor has expired. */
  async #send(changes: object[], since: string | null): Promise<SyncPayload | null> {
    const { store, transport, strategy } = this.options;
    const input = { deviceId: await store.deviceId(), since, strategy, changes };
    const { syncProfiles: payload } = await transport.askPatiently<{
      syncProfiles: SyncPayload & { errors: UserError[] };
    }>(SYNC, { input }, this.#stopping.signal);
    if (payload.errors.some((error) => error.code === "CURSOR_EXPIRED")) return null;
    refuse(payload.errors);
    return payload;
  }

  async #followProfiles(signal: AbortSignal): Promise<void> {
    const { store, transport } = this.options;
    const deviceId = await store.deviceId();
    type Item = {
      profilesChanged: { deletedId: string | null; profile: { deviceId: string | null } | null };
    };
    // An item says that there is something; the sync fetches it. So no cursor is kept: each
    // beginning tells of itself with an item, and is a reason to sync, too.
    for await (const item of transport.watch<Item>(WATCH_PROFILES, async () => ({}), signal)) {
      if (item.profilesChanged.profile?.deviceId !== deviceId) void this.sync();
    }
  }

  async #followSwitches(signal: AbortSignal): Promise<void> {
    const { store, transport } = this.options;
    type Item = { switchesChanged: { switches: Switches } };
    for await (const item of transport.watch<Item>(WATCH_SWITCHES, async () => ({}), signal)) {
      const before = await store.state("switches");
      const { switches } = item.switchesChanged;
      await store.setState("switches", switches);
      if (before && before.syncEnabled !== switches.syncEnabled) void this.sync();
    }
  }

  #follow(following: Promise<void>): void {
    following.catch(async (error: unknown) => {
      if (!this.#stopping.signal.aborted) await this.#tell(...stateAfter(error));
    });
  }

  async #tell(state: SyncState, error: Error | null = null): Promise<SyncStatus> {
    const { store } = this.options;
    const lastSyncAt = await store.state("lastSyncAt");
    const [pendingChanges, refused] = [await store.waiting(), await store.refused()];
    this.#status = { state, lastSyncAt, pendingChanges, refused, error };
    for (const listener of this.#listeners) listener(this.#status);
    return this.#status;
  }
}

/** Throws the first reason why a mutation did nothing. */
export function refuse(errors: UserError[]): void {
  const [error] = errors;
  if (error) throw new ApiError(error.code, error.message, error.path ?? []);
}

function stateAfter(error: unknown): [SyncState, Error] {
  if (error instanceof AwayError) return ["offline", error];
  if (error instanceof SignedOutError) return ["signedOut", error];
  if (error instanceof ApiError && error.code === "SYNC_DISABLED") return ["off", error];
  return ["error", error instanceof Error ? error : new Error(String(error))];
}
