// The sync: sends what waits, takes in what others changed, and knows when to do it again.

import {
  PROFILES,
  RESOLVE,
  SYNC,
  WATCH_PROFILES,
  WATCH_SWITCHES,
  type Strategy,
  type Switches,
  type SyncedProfile,
  type SyncPayload,
  type UserError,
} from "./documents.js";
import { ApiError, AwayError, SignedOutError } from "./errors.js";
import type { Store } from "./store.js";
import type { Transport } from "./transport.js";

export type SyncState = "idle" | "syncing" | "offline" | "off" | "signedOut" | "error";

export interface SyncStatus {
  state: SyncState;
  lastSyncAt: string | null;
  /** Changes that the server does not have yet. */
  pendingChanges: number;
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

const MOST_STALE = 50;

export class SyncService {
  #running: Promise<SyncStatus> | null = null;
  #again = false;
  #stopping = new AbortController();
  #gathering: ReturnType<typeof setTimeout> | null = null;
  #listeners = new Set<(status: SyncStatus) => void>();
  #status: SyncStatus = { state: "idle", lastSyncAt: null, pendingChanges: 0, error: null };

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
    sync();
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
        await this.#refreshStale();
      } while (this.#again && !this.#stopping.signal.aborted);
      return await this.#tell("idle");
    } catch (error) {
      return await this.#tell(...stateAfter(error));
    }
  }

  /** Batches out and pages in, until neither is left. Each is done or not: it may end anywhere. */
  async #exchange(): Promise<void> {
    const { store, transport, strategy } = this.options;
    const deviceId = await store.deviceId();
    for (let goesOn = true; goesOn; ) {
      const { changes, inputs, since } = await store.nextBatch();
      const input = { deviceId, since, strategy, changes: inputs };
      const { syncProfiles: payload } = await transport.askPatiently<{
        syncProfiles: SyncPayload & { errors: UserError[] };
      }>(SYNC, { input }, this.#stopping.signal);
      if (payload.errors.some((error) => error.code === "CURSOR_EXPIRED")) {
        await store.beginAnew();
        continue;
      }
      refuse(payload.errors);
      await store.take(changes, payload);
      const [first] = changes;
      if (first && (await store.outbox.get(first.seq))) {
        throw new ApiError("INTERNAL", "The server did not say what became of a change.");
      }
      goesOn = payload.hasMore || (await store.outbox.count()) > 0;
    }
  }

  /** Reads the versions that won over this device's. */
  async #refreshStale(): Promise<void> {
    const { store, transport } = this.options;
    for (;;) {
      const ids = (await store.state("stale")).slice(0, MOST_STALE);
      if (!ids.length) return;
      const { nodes } = await transport.askPatiently<{ nodes: (SyncedProfile | null)[] }>(
        PROFILES,
        { ids },
      );
      await store.takeStale(ids, nodes);
    }
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
    this.#status = { state, lastSyncAt, pendingChanges: await store.outbox.count(), error };
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
