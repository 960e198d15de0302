// Changes that wait for the server: what they are made of, and which parts of one can be refused.

import type { JsonObject, RefusedChange, Role } from "./documents.js";

/** What this device wrote of a profile at one moment, until the server has it. */
export interface Change {
  seq: number;
  localId: number;
  clock: string;
  /** What the device had seen when it wrote this. */
  since: string | null;
  /** Sent, so it must not change any more: it may be known to the server. */
  isSent: boolean;
  groups: Partial<Groups>;
  messages: { id: string; role: Role; text: string; createdAt: string }[];
  deleted: boolean;
  createdAt: string | null;
  /** Why the server refused it: it is set aside until the profile is edited, or there is room. */
  refusal?: Refusal | null;
}

export interface Refusal {
  code: string;
  message: string;
}

export interface Groups {
  name: string | null;
  thumbnail: string | null;
  analysis: JsonObject;
}

export function inputOf(change: Change, id: string | null): object {
  const { localId, clock, since, groups, messages, deleted, createdAt } = change;
  return {
    localId,
    clock,
    ...(id === null ? {} : { id }),
    ...(since === null ? {} : { since }),
    ...(createdAt === null ? {} : { createdAt }),
    ...(deleted ? { deleted } : { ...groups, messages }),
  };
}

export function valuesIn(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce((count: number, inner) => count + valuesIn(inner), 1);
}

export function without(groups: Partial<Groups>, names: string[]): Partial<Groups> {
  return Object.fromEntries(Object.entries(groups).filter(([name]) => !names.includes(name)));
}

export function isEmpty({ groups, messages, deleted }: Change): boolean {
  return !deleted && !messages.length && !Object.keys(groups).length;
}

/** Whether a change is a picture alone. */
export function isPicture({ groups, messages }: Change): boolean {
  return !messages.length && Object.keys(groups).join() === "thumbnail";
}

export type RefusedPart = Pick<Change, "groups" | "messages"> & { refusal: Refusal };

/** The part of a change that is refused: a field group or a message; none where all of it is. */
export function partAt({ groups, messages }: Change, { code, message, path }: RefusedChange): RefusedPart[] {
  const [name = "", at = ""] = path.slice(3);
  const refusal = { code, message };
  const said = name === "messages" ? messages[Number(at)] : undefined;
  if (said) return [{ groups: {}, messages: [said], refusal }];
  if (!(name in groups)) return [];
  return [{ groups: { [name]: groups[name as keyof Groups] }, messages: [], refusal }];
}

/** What of a change can be sent by itself: each field group, and the messages by halves. */
export function partsOf({ groups, messages }: Change): Partial<Pick<Change, "groups" | "messages">>[] {
  const middle = Math.floor(messages.length / 2);
  const halves = [messages.slice(0, middle), messages.slice(middle)];
  return [
    ...Object.entries(groups).map(([name, value]) => ({ groups: { [name]: value } })),
    ...halves.filter((half) => half.length).map((half) => ({ messages: half })),
  ];
}

/** Half a character (an emoji cut by `slice`) is replaced: with it, a request is no valid JSON. */
export function wellFormed<T>(value: T): T {
  if (typeof value === "string") return value.replace(/\p{Surrogate}/gu, "\uFFFD") as T;
  if (Array.isArray(value)) return value.map(wellFormed) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(
    entries.map(([name, inner]) => [wellFormed(name), wellFormed(inner)]),
  ) as T;
}
