// The device's own database: everything is written here first, and waits in the outbox for a sync.

import { Dexie, type EntityTable } from "dexie";

import {
  inputOf,
  isEmpty,
  isPicture,
  partAt,
  partsOf,
  valuesIn,
  wellFormed,
  without,
  type Change,
  type Groups,
  type Refusal,
  type RefusedPart,
} from "./changes.js";
import { formatMoment, laterMoment, nextMoment, parseMoment } from "./clock.js";
import type {
  JsonObject,
  MessageStatus,
  ProfileConflict,
  RefusedChange,
  Role,
  Switches,
  SyncedMessage,
  SyncedProfile,
  SyncPayload,
} from "./documents.js";
import type { Tokens } from "./session.js";

/** A profile on this device; `id` is the server's, once it has it. */
export interface LocalProfile {
  localId: number;
  id: string | null;
  name: string | null;
  thumbnail: string | null;
  analysis: JsonObject;
  /** Of this device alone. */
  isFavorite: boolean;
  /** Deleted here; the server does not know yet. */
  isDeleted: boolean;
  /** False while only messages of it have come. */
  isKnown: boolean;
  /** The last complete sync that told of it. */
  seenIn: string | null;
  createdAt: string;
  updatedAt: string;
}

export interface LocalMessage {
  /** The id that a device gave it, or else the server's. */
  key: string;
  localId: number;
  role: Role;
  status: MessageStatus;
  text: string;
  createdAt: string;
}

export type LocalConflict = ProfileConflict & { profileLocalId: number | null };

/** A reply of the assistant's: what is written of it by now, and where to go on. */
export interface LocalReply {
  /** The idempotency key: it is paid once, however often it is asked for. */
  key: string;
  localId: number;
  question: string;
  messageId: string | null;
  cursor: string | null;
  text: string;
  status: MessageStatus | "REFUSED";
  errorCode: string | null;
}

interface States {
  deviceId: string;
  userId: string | null;
  tokens: Tokens | null;
  cursor: string | null;
  clock: string;
  /** Names the sync from the beginning that is under way. */
  completeSync: string | null;
  lastSyncAt: string | null;
  switches: Switches | null;
}

const EMPTY: Omit<States, "deviceId"> = {
  userId: null,
  tokens: null,
  cursor: null,
  clock: "0:0",
  completeSync: null,
  lastSyncAt: null,
  switches: null,
};
const encoder = new TextEncoder();
/** The server takes so many in one request. */
export const MOST_CHANGES = 500;
// The server takes bodies of 1 MiB, with 15,000 values.
const MOST_BYTES = 900_000;
const MOST_VALUES = 14_000;

export class Store {
  readonly name: string;
  readonly database: Dexie;
  readonly profiles: EntityTable<LocalProfile, "localId">;
  readonly messages: EntityTable<LocalMessage, "key">;
  readonly outbox: EntityTable<Change, "seq">;
  readonly conflicts: EntityTable<LocalConflict, "id">;
  readonly replies: EntityTable<LocalReply, "key">;
  readonly #states: EntityTable<{ name: string; value: unknown }, "name">;

  constructor(
    name: string,
    private readonly now: () => number = Date.now,
  ) {
    this.name = name;
    this.database = new Dexie(name);
    this.database.version(1).stores({
      profiles: "++localId, &id",
      messages: "key, localId",
      outbox: "++seq, localId",
      conflicts: "id, status",
      replies: "key, status",
      states: "name",
    });
    this.profiles = this.database.table("profiles");
    this.messages = this.database.table("messages");
    this.outbox = this.database.table("outbox");
    this.conflicts = this.database.table("conflicts");
    this.replies = this.database.table("replies");
    this.#states = this.database.table("states");
  }

  async state<N extends keyof States>(name: N): Promise<States[N]> {
    const row = await this.#states.get(name);
    return (row ? row.value : EMPTY[name as keyof typeof EMPTY]) as States[N];
  }

  async setState<N extends keyof States>(name: N, value: States[N]): Promise<void> {
    await this.#states.put({ name, value });
  }

  deviceId(): Promise<string> {
    return this.#writing(async () => {
      const known = await this.state("deviceId");
      if (known) return known;
      const made = crypto.randomUUID();
      await this.setState("deviceId", made);
      return made;
    });
  }

  /** What the app shows of a profile's chat, in its order. */
  async chat(localId: number): Promise<LocalMessage[]> {
    const messages = await this.messages.where("localId").equals(localId).toArray();
    return messages.sort(
      (one, other) =>
        one.createdAt.localeCompare(other.createdAt) || one.key.localeCompare(other.key),
    );
  }

  /** The profiles that the app shows. */
  async shown(): Promise<LocalProfile[]> {
    return this.profiles.filter((profile) => profile.isKnown && !profile.isDeleted).toArray();
  }

  createProfile(given: Partial<Groups>): Promise<number> {
    const groups = wellFormed(given);
    return this.#writing(async () => {
      const createdAt = new Date(this.now()).toISOString();
      const localId = await this.profiles.add({
        ...blank(null, createdAt),
        ...groups,
        isKnown: true,
      } as LocalProfile);
      await this.#note(localId, { groups: { name: null, ...groups }, createdAt });
      return localId;
    });
  }

  updateProfile(localId: number, given: Partial<Groups>): Promise<void> {
    const groups = wellFormed(given);
    return this.#writing(async () => {
      const updatedAt = new Date(this.now()).toISOString();
      await this.profiles.update(localId, { ...groups, updatedAt });
      await this.#note(localId, { groups });
    });
  }

  deleteProfile(localId: number): Promise<void> {
    return this.#writing(async () => {
      const profile = await this.profiles.get(localId);
      if (!profile) return;
      const waiting = await this.outbox.where("localId").equals(localId).toArray();
      // What is certainly unknown to the server needs no deletion there.
      if (profile.id === null && waiting.every((change) => !change.isSent || change.refusal)) {
        await this.#forget(localId);
        return;
      }
      await this.profiles.update(localId, { isDeleted: true });
      await this.#note(localId, { deleted: true });
    });
  }

  addMessage(localId: number, role: Role, given: string): Promise<string> {
    const text = wellFormed(given);
    return this.#writing(async () => {
      const id = crypto.randomUUID();
      const createdAt = new Date(this.now()).toISOString();
      await this.messages.add({ key: id, localId, role, status: "SUCCEEDED", text, createdAt });
      await this.#note(localId, { messages: [{ id, role, text, createdAt }] });
      return id;
    });
  }

  /** How many changes are to be sent. */
  waiting(): Promise<number> {
    return this.outbox.filter((change) => !change.refusal).count();
  }

  /** What was set aside, and why. */
  async refused(): Promise<(Refusal & { localId: number })[]> {
    const changes = await this.outbox.orderBy("seq").toArray();
    return changes.flatMap(({ localId, refusal }) => (refusal ? [{ localId, ...refusal }] : []));
  }

  /**
   * Takes a change that the server refuses out of the way. Its parts are tried by themselves first:
   * a name that is too long does not keep messages from being sent.
   */
  refuse(change: Change, refusal: Refusal): Promise<void> {
    return this.#writing(async () => {
      const left = await this.#withoutReplaced(change.seq);
      if (left) await this.#split(left, refusal);
    });
  }

  /** The next changes to send, at most so many, marked as sent, and the cursor to send with. */
  nextBatch(most: number): Promise<{ changes: Change[]; inputs: object[]; since: string | null }> {
    return this.#writing(async () => {
      const changes: Change[] = [];
      const inputs: object[] = [];
      let bytes = 0;
      let values = 0;
      const waiting = this.outbox.orderBy("seq").filter((change) => !change.refusal);
      for (const change of await waiting.limit(most).toArray()) {
        const { id = null } = (await this.profiles.get(change.localId)) ?? {};
        // Also here, for what was written before texts were mended.
        const input = wellFormed(inputOf(change, id));
        bytes += encoder.encode(JSON.stringify(input)).length;
        values += valuesIn(input);
        if (changes.length && (bytes > MOST_BYTES || values > MOST_VALUES)) break;
        changes.push(change);
        inputs.push(input);
      }
      await this.outbox.bulkUpdate(
        changes.map(({ seq }) => ({ key: seq, changes: { isSent: true } })),
      );
      // Changes from before the first sync have seen nothing, and so is the sync told.
      const since = changes.some((change) => change.since === null)
        ? null
        : await this.state("cursor");
      return { changes, inputs, since };
    });
  }

  /** Takes an answer in: as a whole, or, when this is cut off, not at all. */
  take(sent: Change[], payload: SyncPayload): Promise<void> {
    return this.#writing(async () => {
      const clock = laterMoment(parseMoment(await this.state("clock")), parseMoment(payload.clock));
      await this.setState("clock", formatMoment(clock));
      const lost = await this.#takeConflicts(payload.conflicts);
      // What was refused may be replaced by what was accepted with it.
      await this.#takeRefused(sent, payload.refused);
      await this.#takeAccepted(sent, payload.accepted, lost);
      for (const change of payload.changes) await this.#takeProfile(change);
      for (const message of payload.messages) await this.#takeMessage(message);
      await this.setState("cursor", payload.cursor);
      if (!payload.hasMore) await this.#endPages();
    });
  }

  /** What found no room is to be sent again: there may be some by now. */
  tryAgain(): Promise<void> {
    return this.#writing(() => this.#tryAgain());
  }

  /** Has the next sync fetch everything: the server knows no more what came behind the cursor. */
  beginAnew(): Promise<void> {
    return this.#writing(async () => {
      await this.setState("cursor", null);
      await this.setState("completeSync", crypto.randomUUID());
      await this.outbox.toCollection().modify({ since: null });
    });
  }

  async clear(): Promise<void> {
    await this.#writing(async () => {
      for (const table of this.database.tables) await table.clear();
    });
  }

  #writing<T>(work: () => Promise<T>): Promise<T> {
    return this.database.transaction("rw", this.database.tables, work);
  }

  /** Puts a change into the outbox; into the last one of the profile where that has not left. */
  async #note(
    localId: number,
    written: Partial<Pick<Change, "groups" | "messages" | "deleted" | "createdAt">>,
  ): Promise<void> {
    const clock = await this.#tick();
    const { createdAt, since } = await this.#tryRefusedAgain(localId, written);
    const last = (await this.outbox.where("localId").equals(localId).sortBy("seq")).at(-1);
    if (last && !last.isSent && last.since === since && !last.deleted && !written.deleted) {
      await this.outbox.update(last.seq, {
        clock,
        groups: { ...last.groups, ...written.groups },
        messages: [...last.messages, ...(written.messages ?? [])],
        createdAt: last.createdAt ?? createdAt,
      });
      return;
    }
    const change = { groups: {}, messages: [], deleted: false, ...written, createdAt };
    await this.outbox.add({ localId, clock, since, isSent: false, ...change } as Change);
  }

  async #tick(): Promise<string> {
    const clock = formatMoment(nextMoment(parseMoment(await this.state("clock")), this.now()));
    await this.setState("clock", clock);
    return clock;
  }

  /**
   * An edit may have mended what was refused: it is sent again, without what the edit replaces. A
   * picture waits for another picture. Gives what the edit is to tell in place of what it replaces:
   * when the profile was made, and what had been seen, as the server's version was not shown since.
   */
  async #tryRefusedAgain(
    localId: number,
    written: Partial<Pick<Change, "groups" | "deleted" | "createdAt">>,
  ): Promise<Pick<Change, "createdAt" | "since">> {
    const names = Object.keys(written.groups ?? {});
    let createdAt = written.createdAt ?? null;
    const seen: (string | null)[] = [];
    for (const change of await this.#pending(localId)) {
      if (!change.refusal) continue;
      const groups = without(change.groups, names);
      if (names.some((name) => name in change.groups)) seen.push(change.since);
      if (written.deleted || isEmpty({ ...change, groups })) {
        if (!written.deleted) createdAt ??= change.createdAt;
        await this.outbox.delete(change.seq);
      } else {
        const refusal = isPicture(change) ? change.refusal : null;
        await this.outbox.update(change.seq, { groups, refusal });
      }
    }
    const [first = await this.state("cursor")] = seen;
    return { createdAt, since: seen.includes(null) ? null : first };
  }

  /** A change without what later ones of its profile replace; undefined when nothing is left. */
  async #withoutReplaced(seq: number): Promise<Change | undefined> {
    const change = await this.outbox.get(seq);
    if (!change) return undefined;
    const later = (await this.#pending(change.localId)).filter((one) => one.seq > seq);
    const groups = without(
      change.groups,
      later.flatMap((one) => Object.keys(one.groups)),
    );
    const left = { ...change, groups };
    const [next] = later;
    if (later.some((one) => one.deleted) || (next && isEmpty(left))) {
      if (next && !next.deleted) {
        await this.outbox.update(next.seq, { createdAt: next.createdAt ?? change.createdAt });
      }
      await this.outbox.delete(seq);
      return undefined;
    }
    await this.outbox.update(seq, { groups });
    return left;
  }

  /** Puts the parts of a change in its place; what has no parts is set aside. */
  async #split(left: Change, refusal: Refusal): Promise<void> {
    const parts = partsOf(left);
    if (parts.length < 2) {
      await this.outbox.update(left.seq, { refusal });
      return;
    }
    await this.outbox.delete(left.seq);
    const { seq: _, ...whole } = left;
    for (const part of parts) {
      // Answers name a change by its clock, so each needs its own.
      const clock = await this.#tick();
      await this.outbox.add({ ...whole, groups: {}, messages: [], ...part, clock } as Change);
    }
  }

  async #takeConflicts(conflicts: ProfileConflict[]): Promise<Set<string>> {
    const lost = new Set<string>();
    for (const conflict of conflicts) {
      const profile = await this.profiles.get({ id: conflict.profileId });
      const profileLocalId = profile?.localId ?? conflict.localId;
      await this.conflicts.put({ ...conflict, profileLocalId });
      if (conflict.loser === "CLIENT") {
        lost.add(`${conflict.profileId} ${conflict.clock} ${conflict.fieldGroup}`);
      }
    }
    return lost;
  }

  async #takeAccepted(
    sent: Change[],
    accepted: SyncPayload["accepted"],
    lost: Set<string>,
  ): Promise<void> {
    const waiting = new Map(sent.map((change) => [`${change.localId} ${change.clock}`, change]));
    const completeSync = await this.state("completeSync");
    for (const { localId, id, clock } of accepted) {
      const change = waiting.get(`${localId} ${clock}`);
      if (!change) continue;
      await this.outbox.delete(change.seq);
      const profile = await this.profiles.get(change.localId);
      if (!profile) continue;
      if (id === null) {
        await this.#makeAnew(profile, change);
      } else if (change.deleted && !lost.has(`${id} ${clock} DELETION`)) {
        if (!(await this.#pending(change.localId)).length) await this.#forget(change.localId);
        await this.#tryAgain();
      } else {
        const isDeleted = profile.isDeleted && !change.deleted;
        await this.profiles.update(change.localId, { id, isDeleted, seenIn: completeSync });
      }
    }
  }

  /**
   * What is refused keeps nothing else waiting: the change goes without the parts that are named. Where
   * none is, all of a profile that the server does not have is set aside, and of others each part is
   * tried by itself.
   */
  async #takeRefused(sent: Change[], refused: RefusedChange[]): Promise<void> {
    for (const change of sent) {
      const faults = refused.filter(
        ({ localId, clock }) => localId === change.localId && clock === change.clock,
      );
      const [first] = faults;
      const left = first && (await this.#withoutReplaced(change.seq));
      if (!left) continue;
      const parts = faults.flatMap((fault) => partAt(left, fault));
      const { code, message } = first;
      if (parts.length) await this.#setAside(left, parts);
      else if ((await this.profiles.get(change.localId))?.id) {
        await this.#split(left, { code, message });
      } else await this.outbox.update(left.seq, { refusal: { code, message } });
    }
  }

  /** In the outbox, they are not overwritten by what the server has: it may be the only copy. */
  async #setAside(left: Change, parts: RefusedPart[]): Promise<void> {
    const { seq, ...whole } = left;
    const groups = without(
      left.groups,
      parts.flatMap((part) => Object.keys(part.groups)),
    );
    const aside = new Set(parts.flatMap((part) => part.messages));
    const messages = left.messages.filter((message) => !aside.has(message));
    const isAll = isEmpty({ ...left, groups, messages });
    if (isAll) await this.outbox.delete(seq);
    else await this.outbox.update(seq, { groups, messages });
    const createdAt = isAll ? left.createdAt : null;
    await this.outbox.bulkAdd(parts.map((part) => ({ ...whole, ...part, createdAt }) as Change));
  }

  async #tryAgain(): Promise<void> {
    const isFull = (change: Change) => change.refusal?.code === "QUOTA_EXCEEDED";
    await this.outbox.filter(isFull).modify({ refusal: null });
  }

  /** The server has forgotten the profile: what the user still has goes there as a new one. */
  async #makeAnew(profile: LocalProfile, change: Change): Promise<void> {
    if (change.deleted) return this.#forget(profile.localId);
    await this.profiles.update(profile.localId, { id: null });
    const { localId, name, analysis, createdAt } = profile;
    const aside = (await this.#pending(localId)).filter((one) => one.refusal);
    const thumbnail = aside.some(isPicture) ? {} : { thumbnail: profile.thumbnail };
    // All but a picture is in what is sent now.
    await this.outbox.bulkDelete(aside.filter((one) => !isPicture(one)).map(({ seq }) => seq));
    const messages = (await this.chat(localId)).map(({ key, role, text, createdAt: at }) => ({
      id: key,
      role,
      text,
      createdAt: at,
    }));
    await this.#note(localId, { groups: { name, ...thumbnail, analysis }, messages, createdAt });
  }

  #pending(localId: number): Promise<Change[]> {
    return this.outbox.where("localId").equals(localId).toArray();
  }

  async #takeProfile(change: SyncedProfile): Promise<void> {
    const known = await this.#known(change);
    if (change.deleted) {
      // What waits here is judged by the server first: it may bring the profile back.
      if (known && !(await this.#pending(known.localId)).length) await this.#forget(known.localId);
      return;
    }
    const createdAt = change.createdAt ?? new Date(this.now()).toISOString();
    const profile = known ?? (await this.#add(blank(change.id, createdAt)));
    const pending = await this.#pending(profile.localId);
    const written = new Set(pending.flatMap((one) => Object.keys(one.groups)));
    const taken: Partial<LocalProfile> = {
      id: change.id,
      isKnown: true,
      seenIn: await this.state("completeSync"),
      createdAt,
      updatedAt: change.updatedAt ?? createdAt,
      isDeleted: pending.some((one) => one.deleted),
    };
    if (!written.has("name")) taken.name = change.name;
    if (!written.has("thumbnail")) taken.thumbnail = change.thumbnail;
    if (!written.has("analysis")) taken.analysis = change.analysis ?? {};
    await this.profiles.update(profile.localId, taken);
  }

  async #known({ id, localId }: SyncedProfile): Promise<LocalProfile | undefined> {
    const byId = await this.profiles.get({ id });
    if (byId || localId === null) return byId;
    const own = await this.profiles.get(localId);
    return own?.id === null ? own : undefined;
  }

  async #takeMessage(message: SyncedMessage): Promise<void> {
    const profile =
      (await this.profiles.get({ id: message.profileId })) ??
      (await this.#add(blank(message.profileId, message.createdAt)));
    const { role, status, text, createdAt, clientId, id } = message;
    const { localId } = profile;
    await this.messages.put({ key: clientId ?? id, localId, role, status, text, createdAt });
  }

  /** All pages have come: what a complete sync did not tell of is gone. */
  async #endPages(): Promise<void> {
    const completeSync = await this.state("completeSync");
    const rows = await this.profiles.filter((profile) => profile.id !== null).toArray();
    for (const profile of rows) {
      const isGone = completeSync !== null && profile.seenIn !== completeSync;
      if ((isGone || !profile.isKnown) && !(await this.#pending(profile.localId)).length) {
        await this.#forget(profile.localId);
      }
    }
    await this.setState("completeSync", null);
    await this.setState("lastSyncAt", new Date(this.now()).toISOString());
  }

  async #add(profile: Omit<LocalProfile, "localId">): Promise<LocalProfile> {
    const localId = await this.profiles.add(profile as LocalProfile);
    return { ...profile, localId };
  }

  async #forget(localId: number): Promise<void> {
    await this.profiles.delete(localId);
    await this.messages.where("localId").equals(localId).delete();
    await this.outbox.where("localId").equals(localId).delete();
  }
}

function blank(id: string | null, createdAt: string): Omit<LocalProfile, "localId"> {
  return {
    id,
    name: null,
    thumbnail: null,
    analysis: {},
    isFavorite: false,
    isDeleted: false,
    isKnown: false,
    seenIn: null,
    createdAt,
    updatedAt: createdAt,
  };
}

