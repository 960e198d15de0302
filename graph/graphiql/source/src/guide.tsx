// The Guide: a two-minute tour in the sidebar, with the two steps GraphiQL itself cannot do.
import { type GraphiQLPlugin, pick, useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { type ReactNode, useState } from "react";

import { latestUpload } from "./placeholders";
import { useSession } from "./session";
import { request } from "./transport";

interface Header {
  name: string;
  value: string;
}

const CREATE_UPLOAD = `mutation CreateUpload($input: CreateUploadInput!) {
  createUpload(input: $input) {
    upload { id url method headers { name value } }
    errors { code message }
  }
}`;
const CREATE_GENERATION = `mutation CreateGeneration($input: CreateGenerationInput!) {
  createGeneration(input: $input) { generation { id status } errors { code message } }
}`;
const SPEND_CREDITS = `mutation SpendCredits($input: SpendCreditsInput!) {
  spendCredits(input: $input) { transaction { id balanceAfter } errors { code message } }
}`;

function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join("");
}

/** The payload of the operation's only field; throws what the server refused. */
async function perform(query: string, input: Record<string, unknown>): Promise<any> {
  const { data, errors } = await request(query, { input });
  const payload = data ? Object.values(data)[0] : null;
  const fault = errors?.[0] ?? payload?.errors?.[0];
  if (fault) throw new Error(fault.message);
  return payload;
}

async function uploadPhoto(photo: File): Promise<string> {
  const input = { contentType: photo.type, sizeBytes: photo.size };
  const { upload } = await perform(CREATE_UPLOAD, input);
  const headers = upload.headers.map(({ name, value }: Header) => [name, value]);
  const { method, url } = upload;
  const response = await fetch(url, { method, headers, body: photo, credentials: "omit" });
  const answer = await response.text();
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${answer.slice(0, 300)}`);
  return `${photo.name} is uploaded. Run a tool on it, below.`;
}

async function recolour(): Promise<string> {
  const uploadId = latestUpload();
  if (!uploadId) throw new Error("Choose a photo first.");
  const parameters = { color: "#7a3cff" };
  const input = { toolId: "hair-color", uploadId, parameters, idempotencyKey: newKey() };
  const { generation } = await perform(CREATE_GENERATION, input);
  return `The generation is ${generation.status}. Follow it in WatchGeneration.`;
}

async function spendOne(): Promise<string> {
  const input = { amount: 1, reason: "guide", referenceId: "guide", idempotencyKey: newKey() };
  const { transaction } = await perform(SPEND_CREDITS, input);
  return `Spent 1 credit; ${transaction.balanceAfter} left.`;
}

function OpenTab({ title }: { title: string }) {
  const { tabs } = useGraphiQL(pick("tabs"));
  const { changeTab } = useGraphiQLActions();
  const index = tabs.findIndex((tab) => tab.title === title);
  if (index < 0) return <strong>{title}</strong>;
  return (
    <button type="button" className="tallygraph-link" onClick={() => changeTab(index)}>
      {title}
    </button>
  );
}

/** Runs what a button starts and shows how it went. */
function useOutcome() {
  const [outcome, setOutcome] = useState("");
  const run = async (action: () => Promise<string>) => {
    setOutcome("…");
    setOutcome(await action().catch((error: Error) => error.message));
  };
  return { outcome, run };
}

function Action({ label, action }: { label: string; action: () => Promise<string> }) {
  const session = useSession();
  const { outcome, run } = useOutcome();
  return (
    <p>
      <button
        type="button"
        className="graphiql-button"
        disabled={!session}
        onClick={() => void run(action)}
      >
        {label}
      </button>{" "}
      <output>{outcome}</output>
    </p>
  );
}

function PhotoChooser() {
  const session = useSession();
  const { outcome, run } = useOutcome();
  return (
    <p>
      <label className="graphiql-button" aria-disabled={!session}>
        Choose a photo…
        <input
          type="file"
          accept="image/jpeg,image/png,image/webp"
          disabled={!session}
          onChange={({ target }) => {
            const photo = target.files?.[0];
            target.value = "";
            if (photo) void run(() => uploadPhoto(photo));
          }}
        />
      </label>{" "}
      <output>{outcome}</output>
    </p>
  );
}

function Step({ title, children }: { title: string; children: ReactNode }) {
  return (
    <li>
      <h3>{title}</h3>
      {children}
    </li>
  );
}

function Guide() {
  return (
    <div className="tallygraph-guide">
      <div className="graphiql-doc-explorer-title">Guide</div>
      <p>A photo in, a credit spent, a result out, live: two minutes.</p>
      <ol>
        <Step title="Sign up">
          <p>
            Open <OpenTab title="SignUp" /> and press ▶. The token goes into the Headers of every
            tab; it is forgotten when you reload. <OpenTab title="Viewer" /> shows your credits.
          </p>
        </Step>
        <Step title="Send a photo">
          <p>
            <OpenTab title="CreateUpload" /> answers with a signed URL to PUT the photo to. This
            button does both:
          </p>
          <PhotoChooser />
        </Step>
        <Step title="Recolour the hair">
          <p>
            Run <OpenTab title="CreateGeneration" />, then follow it
            in <OpenTab title="WatchGeneration" />. Or start one from here:
          </p>
          <Action label="Recolour it (1 credit)" action={recolour} />
        </Step>
        <Step title="Watch it live">
          <p>
            Run <OpenTab title="WatchCredits" /> and leave it open (changing tabs stops it). Then:
          </p>
          <Action label="Spend 1 credit" action={spendOne} />
        </Step>
      </ol>
    </div>
  );
}

function GuideIcon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
      <circle cx="12" cy="12" r="9" />
      <path d="m15.5 8.5-2 5-5 2 2-5z" strokeLinejoin="round" />
    </svg>
  );
}

export const guide: GraphiQLPlugin = { title: "Guide", content: Guide, icon: GuideIcon };
