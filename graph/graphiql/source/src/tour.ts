// What the Guide shows of the photo and the newest generation: kept in memory, followed live.
import { useSyncExternalStore } from "react";

import { latestUpload, whenSeen } from "./placeholders";
import { currentSession, onSessionChange } from "./session";
import { follow, request } from "./transport";

export type Status = "QUEUED" | "RUNNING" | "SUCCEEDED" | "FAILED" | "CANCELLED";

export interface Photo {
  imageUrl: string | null;
  widthPixels: number | null;
  heightPixels: number | null;
}

export interface Generation {
  id: string;
  status: Status;
  imageUrl: string | null;
  creditsCharged: number;
  error: { message: string } | null;
  upload: Photo | null;
}

export interface Tour {
  photo: Photo | null;
  generation: Generation | null;
  /** Why the generation is no longer followed, when that was not its end. */
  interruption: string;
}

interface Header {
  name: string;
  value: string;
}

const PHOTO = "imageUrl(width: W640) widthPixels heightPixels";
const CREATE_UPLOAD = `mutation CreateUpload($input: CreateUploadInput!) {
  createUpload(input: $input) {
    upload { id url method headers { name value } }
    errors { code message }
  }
}`;
const READ_PHOTO = `query Photo($id: ID!) { node(id: $id) { ... on Upload { ${PHOTO} } } }`;
const CREATE_GENERATION = `mutation CreateGeneration($input: CreateGenerationInput!) {
  createGeneration(input: $input) { generation { id status } errors { code message } }
}`;
const FOLLOW_GENERATION = `subscription FollowGeneration($id: ID!) {
  generationUpdated(id: $id) {
    generation {
      id
      status
      imageUrl(width: W640)
      creditsCharged
      error { message }
      upload { ${PHOTO} }
    }
  }
}`;
const SPEND_CREDITS = `mutation SpendCredits($input: SpendCreditsInput!) {
  spendCredits(input: $input) { transaction { id balanceAfter } errors { code message } }
}`;

const EMPTY: Tour = { photo: null, generation: null, interruption: "" };
let tour = EMPTY;
let stopFollowing = () => {};
const listeners = new Set<() => void>();

function change(changes: Partial<Tour>): void {
  tour = { ...tour, ...changes };
  listeners.forEach((listener) => listener());
}

function listen(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useTour(): Tour {
  return useSyncExternalStore(listen, () => tour);
}

export function isFinal(status: Status): boolean {
  return status !== "QUEUED" && status !== "RUNNING";
}

function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join("");
}

/** The answer's only field; throws what the server refused. */
async function perform(query: string, variables: Record<string, unknown>): Promise<any> {
  const { data, errors } = await request(query, variables);
  const payload = data ? Object.values(data)[0] : null;
  const fault = errors?.[0] ?? payload?.errors?.[0];
  if (fault) throw new Error(fault.message);
  return payload;
}

/** A signed link by the name this page was opened with, which its security policy allows. */
function onThisOrigin(link: string): string {
  const { pathname, search } = new URL(link);
  return pathname.startsWith("/files/") ? `${location.origin}${pathname}${search}` : link;
}

function readable<T extends { imageUrl: string | null }>(owner: T): T {
  return { ...owner, imageUrl: owner.imageUrl && onThisOrigin(owner.imageUrl) };
}

export async function uploadPhoto(photo: File): Promise<string> {
  const input = { contentType: photo.type, sizeBytes: photo.size };
  const { upload } = await perform(CREATE_UPLOAD, { input });
  const headers = upload.headers.map(({ name, value }: Header) => [name, value]);
  const { method, url } = upload;
  const put = { method, headers, body: photo, credentials: "omit" } as const;
  const response = await fetch(onThisOrigin(url), put);
  const answer = await response.text();
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${answer.slice(0, 300)}`);
  stopFollowing();
  change({ ...EMPTY, photo: readable(await perform(READ_PHOTO, { id: upload.id })) });
  return `${photo.name} is uploaded.`;
}

export async function recolour(): Promise<string> {
  const uploadId = latestUpload();
  if (!uploadId) throw new Error("Choose a photo first.");
  const parameters = { color: "#7a3cff" };
  const input = { toolId: "hair-color", uploadId, parameters, idempotencyKey: newKey() };
  // The answer's id is seen by this page like any other's, which begins to follow it.
  await perform(CREATE_GENERATION, { input });
  return "";
}

export async function spendOne(): Promise<string> {
  const input = { amount: 1, reason: "guide", referenceId: "guide", idempotencyKey: newKey() };
  const { transaction } = await perform(SPEND_CREDITS, { input });
  return `Spent 1 credit; ${transaction.balanceAfter} left.`;
}

/** Follows a generation until it ends, whoever on this page has asked for it. */
function followGeneration(id: string): void {
  stopFollowing();
  change({ generation: null, interruption: "" });
  const stop = follow(FOLLOW_GENERATION, { id }, {
    next({ data, errors }) {
      const generation: Generation | undefined = data?.generationUpdated?.generation;
      if (errors) change({ interruption: errors[0].message });
      if (!generation) return;
      const photo = generation.upload ? readable(generation.upload) : tour.photo;
      change({ generation: readable(generation), photo });
      if (isFinal(generation.status)) stop();
    },
  });
  stopFollowing = stop;
}

whenSeen("generation", followGeneration);

let userName = currentSession()?.userName;
onSessionChange(() => {
  const present = currentSession()?.userName;
  // A renewed token changes nothing; another user sees nothing of this one's pictures.
  if (present === userName) return;
  userName = present;
  stopFollowing();
  change(EMPTY);
});
