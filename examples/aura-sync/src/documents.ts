// What this client asks, and the shapes of the answers.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };
export type Strategy = "LAST_WRITE_WINS" | "SERVER_WINS" | "CLIENT_WINS" | "MANUAL";
export type Role = "USER" | "ASSISTANT";
export type MessageStatus = "QUEUED" | "RUNNING" | "SUCCEEDED" | "FAILED" | "CANCELLED";

export interface UserError {
  code: string;
  message: string;
  path: string[] | null;
}

export interface SyncedProfile {
  id: string;
  localId: number | null;
  deleted: boolean;
  name: string | null;
  thumbnail: string | null;
  analysis: JsonObject | null;
  createdAt: string | null;
  updatedAt: string | null;
}

export interface SyncedMessage {
  id: string;
  profileId: string;
  clientId: string | null;
  role: Role;
  status: MessageStatus;
  text: string;
  createdAt: string;
}

export interface ProfileConflict {
  id: string;
  profileId: string;
  localId: number | null;
  clock: string;
  fieldGroup: "NAME" | "THUMBNAIL" | "ANALYSIS" | "CHAT" | "PROFILE" | "DELETION";
  loser: "SERVER" | "CLIENT";
  value: Json;
  status: "OPEN" | "SETTLED" | "RESOLVED" | "DELETED";
}

/** What is wrong with a change; `path` is such as input, changes, 7, name. */
export interface RefusedChange {
  localId: number | null;
  clock: string;
  code: string;
  message: string;
  path: string[];
}

export interface SyncPayload {
  changes: SyncedProfile[];
  messages: SyncedMessage[];
  accepted: { localId: number | null; id: string | null; clock: string }[];
  refused: RefusedChange[];
  conflicts: ProfileConflict[];
  cursor: string;
  hasMore: boolean;
  clock: string;
}

export interface Switches {
  syncEnabled: boolean;
  creditsUnlimited: boolean;
  aiEnabled: boolean;
  readOnly: boolean;
}

export interface ReplyItem {
  cursor: string;
  delta: string;
  message: {
    id: string;
    status: MessageStatus;
    text: string;
    creditsCharged: number;
    error: { code: string; message: string } | null;
  };
}

const ERRORS = "errors { code message path }";
const PROFILE = "id localId deleted name thumbnail analysis createdAt updatedAt";

export const SYNC = `mutation Sync($input: SyncProfilesInput!) { syncProfiles(input: $input) {
  changes { ${PROFILE} }
  messages { id profileId clientId role status text createdAt }
  accepted { localId id clock }
  refused { localId clock code message path }
  conflicts { id profileId localId clock fieldGroup loser value status }
  cursor hasMore clock ${ERRORS} } }`;

export const RESOLVE = `mutation Resolve($id: ID!, $keep: ConflictChoice!) {
  resolveConflict(input: { id: $id, keep: $keep }) { conflict { status } ${ERRORS} } }`;

export const REFRESH = `mutation Refresh($token: String!) {
  refreshSession(input: { refreshToken: $token }) {
    session { accessToken refreshToken user { id } } ${ERRORS} } }`;

export const SEND = `mutation Send($profileId: ID!, $text: String!, $key: String!) {
  sendChatMessage(input: { profileId: $profileId, text: $text, idempotencyKey: $key }) {
    message { id status } ${ERRORS} } }`;

export const CANCEL = `mutation Cancel($id: ID!) {
  cancelChatReply(input: { id: $id }) { message { id status } ${ERRORS} } }`;

export const WATCH_REPLY = `subscription Reply($messageId: ID!, $after: Cursor) {
  chatReply(messageId: $messageId, after: $after) {
    cursor delta message { id status text creditsCharged error { code message } } } }`;

export const WATCH_PROFILES = `subscription Profiles($after: Cursor) {
  profilesChanged(after: $after) { cursor deletedId profile { id deviceId } } }`;

export const WATCH_SWITCHES = `subscription Switches($after: Cursor) {
  switchesChanged(after: $after) {
    cursor switches { syncEnabled creditsUnlimited aiEnabled readOnly } } }`;
