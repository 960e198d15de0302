// A client that works offline: a store, a sync with the server, and chats with the assistant.

import { USUAL_BACKOFF, type Backoff } from "./backoff.js";
import { Chats } from "./chat.js";
import type { JsonObject, Role, Strategy } from "./documents.js";
import type { Tokens } from "./session.js";
import type { Groups } from "./changes.js";
import { Store } from "./store.js";
import { SyncService, type Surroundings } from "./sync.js";
import { Transport } from "./transport.js";

export { USUAL_BACKOFF, type Backoff } from "./backoff.js";
export { Chats, type ReplyListener } from "./chat.js";
export { ApiError, AwayError, SignedOutError } from "./errors.js";
export type { Json, JsonObject, ProfileConflict, Role, Strategy, Switches } from "./documents.js";
export type { Tokens } from "./session.js";
export { wellFormed, type Change, type Groups, type Refusal } from "./changes.js";
export * from "./store.js";
export { SyncService, type Surroundings, type SyncState, type SyncStatus } from "./sync.js";
export { Transport } from "./transport.js";

export interface AuraOptions {
  /** The server's address, without a path. */
  url: string;
  /** The name of the device's database. */
  name?: string;
  strategy?: Strategy;
  surroundings?: Surroundings;
  backoff?: Partial<Backoff>;
  everyMilliseconds?: number;
  gatherMilliseconds?: number;
  fetch?: typeof globalThis.fetch;
  webSocketImpl?: unknown;
  now?: () => number;
}

export class AuraClient {
  readonly store: Store;
  readonly transport: Transport;
  readonly sync: SyncService;
  readonly chats: Chats;

  constructor(options: AuraOptions) {
    const { url, fetch, webSocketImpl } = options;
    this.store = new Store(options.name ?? "aura", options.now);
    this.transport = new Transport({
      url,
      store: this.store,
      backoff: { ...USUAL_BACKOFF, ...options.backoff },
      ...(fetch ? { fetch } : {}),
      ...(webSocketImpl ? { webSocketImpl } : {}),
    });
    this.sync = new SyncService({
      store: this.store,
      transport: this.transport,
      strategy: options.strategy ?? "LAST_WRITE_WINS",
      surroundings: options.surroundings ?? (globalThis as Surroundings),
      everyMilliseconds: options.everyMilliseconds ?? 5 * 60_000,
      gatherMilliseconds: options.gatherMilliseconds ?? 500,
    });
    this.chats = new Chats(this.store, this.transport, this.sync);
  }

  /**
   * Works as somebody from now on. What is on the device is theirs: of another user's nothing stays,
   * unless a guest was `merged` into this account.
   */
  async signIn(tokens: Tokens, { merged = false } = {}): Promise<void> {
    const before = await this.store.state("userId");
    if (before !== null && before !== tokens.userId) {
      if (merged) await this.store.beginAnew();
      else await this.store.clear();
    }
    await this.store.setState("userId", tokens.userId);
    await this.store.setState("tokens", tokens);
  }

  /** Begins to sync, and goes on with replies that had not ended. */
  start(): void {
    this.sync.start();
    void this.chats.resume().catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.sync.stop();
    await this.transport.close();
    this.store.database.close();
  }

  async createProfile(groups: Partial<Groups>): Promise<number> {
    const localId = await this.store.createProfile(groups);
    this.sync.soon();
    return localId;
  }

  async updateProfile(localId: number, groups: Partial<Groups>): Promise<void> {
    await this.store.updateProfile(localId, groups);
    this.sync.soon();
  }

  async setAnalysis(localId: number, analysis: JsonObject): Promise<void> {
    await this.updateProfile(localId, { analysis });
  }

  async deleteProfile(localId: number): Promise<void> {
    await this.store.deleteProfile(localId);
    this.sync.soon();
  }

  async addMessage(localId: number, role: Role, text: string): Promise<string> {
    const key = await this.store.addMessage(localId, role, text);
    this.sync.soon();
    return key;
  }
}
