// The Guide: a two-minute tour in the sidebar, with the steps that GraphiQL itself cannot do.
import { type GraphiQLPlugin, pick, useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { type ReactNode, useEffect, useRef, useState } from "react";

import { isNarrow } from "./layout";
import { useSession } from "./session";
import { type Generation, isFinal, type Photo, recolour, spendOne, uploadPhoto, useTour } from "./tour";

function OpenTab({ title }: { title: string }) {
  const { tabs } = useGraphiQL(pick("tabs"));
  const { changeTab, setVisiblePlugin } = useGraphiQLActions();
  const index = tabs.findIndex((tab) => tab.title === title);
  if (index < 0) return <strong>{title}</strong>;
  const open = () => {
    changeTab(index);
    // On a narrow screen the guide covers the tab.
    if (isNarrow()) setVisiblePlugin(null);
  };
  return (
    <button type="button" className="tallygraph-link" onClick={open}>
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

const SAID = {
  QUEUED: "Queued: 1 credit is held.",
  RUNNING: "Running…",
  SUCCEEDED: "Done.",
  FAILED: "It failed; the credit is back.",
  CANCELLED: "Cancelled; the credit is back.",
};

function outcomeOf({ status, creditsCharged, error }: Generation): string {
  if (status === "SUCCEEDED") {
    return creditsCharged ? `Done. Credits spent: ${creditsCharged}.` : "Done, for no credit.";
  }
  return error ? `${SAID[status]} ${error.message}` : SAID[status];
}

function Picture({ title, photo }: { title: string; photo: Photo }) {
  const { imageUrl, widthPixels, heightPixels } = photo;
  const [unseen, setUnseen] = useState<string | null>(null);
  const shape = widthPixels && heightPixels ? `${widthPixels} / ${heightPixels}` : "3 / 4";
  const frame = { aspectRatio: shape };
  if (!imageUrl) return <div className="tallygraph-frame" style={frame} />;
  return (
    <a href={imageUrl} target="_blank" rel="noreferrer" title={`Open “${title}” in a tab`}>
      {imageUrl === unseen ? (
        // A bucket's pictures are not this page's to show; the link leads to them.
        <span className="tallygraph-frame" style={frame}>Open</span>
      ) : (
        <img src={imageUrl} alt={title} style={frame} onError={() => setUnseen(imageUrl)} />
      )}
    </a>
  );
}

/** The photo before and after, with the generation's status as it changes. */
function Result() {
  const { photo, generation, interruption } = useTour();
  const element = useRef<HTMLDivElement>(null);
  const status = generation?.status;
  useEffect(() => {
    element.current?.scrollIntoView({ block: "nearest" });
  }, [photo, status]);
  if (!photo) return null;
  const pending = generation !== null && !isFinal(generation.status);
  return (
    <div ref={element} className="tallygraph-result" data-status={status}>
      <p role="status">
        {generation && (
          <>
            <code>{generation.status}</code> {outcomeOf(generation)}
          </>
        )}
        {interruption}
      </p>
      <div className="tallygraph-pictures">
        <figure>
          <Picture title="Before" photo={photo} />
          <figcaption>Before</figcaption>
        </figure>
        {generation && (
          <figure className={pending ? "tallygraph-pending" : undefined}>
            <Picture title="After" photo={{ ...photo, imageUrl: generation.imageUrl }} />
            <figcaption>After</figcaption>
          </figure>
        )}
      </div>
    </div>
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
            Press the button, or run <OpenTab title="CreateGeneration" />. This guide subscribes to
            the generation, as <OpenTab title="WatchGeneration" /> does.
          </p>
          <Action label="Recolour it (1 credit)" action={recolour} />
          <Result />
        </Step>
        <Step title="Watch the credits live">
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
