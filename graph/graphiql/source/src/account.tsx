// Signed in as …: the notice under the response, and what the page does to tabs and editors.
import { pick, useGraphiQL } from "@graphiql/react";
import { useEffect } from "react";

import { fillPlaceholders } from "./placeholders";
import { bearer, forgetSession, type Session, useSession } from "./session";
import { request } from "./transport";

// Header texts this page wrote itself, which it may therefore replace; anything typed is left alone.
const written = new Set<string>([""]);

function headersText(session: Session | null): string {
  const text = session ? JSON.stringify({ Authorization: bearer(session) }, null, 2) : "";
  written.add(text);
  return text;
}

/** Keeps the active tab's headers and variables in step with what the page has learnt. */
function useActiveTab(session: Session | null): void {
  const { headerEditor, variableEditor, tabs, activeTabIndex } = useGraphiQL(
    pick("headerEditor", "variableEditor", "tabs", "activeTabIndex"),
  );
  const activeTabId = tabs[activeTabIndex]?.id;
  useEffect(() => {
    const text = headersText(session);
    const present = headerEditor?.getValue().trim() ?? text;
    if (present !== text && written.has(present)) headerEditor?.setValue(text);
  }, [session, headerEditor, activeTabId]);
  useEffect(() => {
    const present = variableEditor?.getValue() ?? "";
    const filled = fillPlaceholders(present);
    if (filled !== present) variableEditor?.setValue(filled);
  }, [variableEditor, activeTabId]);
}

const READABLE = {
  fontSize: 14,
  wordWrap: "on",
  folding: false,
  lineDecorationsWidth: 8,
  scrollbar: { verticalScrollbarSize: 8 },
} as const;

/** Lines are read whole however narrow the editors are: small margins, and the rest is wrapped. */
function useReadableEditors(): void {
  const { queryEditor, variableEditor, headerEditor, responseEditor } = useGraphiQL(
    pick("queryEditor", "variableEditor", "headerEditor", "responseEditor"),
  );
  useEffect(() => {
    const editors = [queryEditor, variableEditor, headerEditor, responseEditor];
    for (const editor of editors) editor?.updateOptions(READABLE);
    // A tab that is chosen before the editors are there would stay on the first tab's text.
    document.body.dataset.editors = editors.every(Boolean) ? "ready" : "loading";
  }, [queryEditor, variableEditor, headerEditor, responseEditor]);
}

/** The chosen tab is in sight, also when the guide or the keyboard chose it. */
function useVisibleTab(): void {
  const { activeTabIndex } = useGraphiQL(pick("activeTabIndex"));
  useEffect(() => {
    const tab = document.getElementById(`graphiql-session-tab-${activeTabIndex}`);
    tab?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [activeTabIndex]);
}

async function signOut(): Promise<void> {
  try {
    await request("mutation SignOut { signOut { __typename } }", {});
  } finally {
    forgetSession();
  }
}

export function Account() {
  const session = useSession();
  useActiveTab(session);
  useReadableEditors();
  useVisibleTab();
  if (!session) return <div className="tallygraph-account">Not signed in</div>;
  return (
    <div className="tallygraph-account">
      Signed in as <strong>{session.userName}</strong>
      <button type="button" className="graphiql-button" onClick={() => void signOut()}>
        Sign out
      </button>
    </div>
  );
}
