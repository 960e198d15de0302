// What pages have in common: their title, and what stands there while something is read or missing.

import { type ReactNode, useEffect, useRef } from "react";
import { problemOf } from "./useAction";

type PageProps = { title: string; above?: ReactNode; actions?: ReactNode; children: ReactNode };

/** A page; its heading takes the focus, so that who hears the page learns that it is another. */
export function Page({ title, above, actions, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <>
      <title>{`${title} · Switchboard`}</title>
      {above}
      <header className="page-header">
        <h1 ref={heading} tabIndex={-1}>{title}</h1>
        {actions && <div className="actions">{actions}</div>}
      </header>
      {children}
    </>
  );
}

export function Loading() {
  return <p className="quiet" role="status">Loading…</p>;
}

/** What stands where a query has no data: still none, or none for this reader. */
export function Missing({ error, what }: { error: unknown; what: string }) {
  if (error) return <p className="error" role="alert">{problemOf(error).message}</p>;
  return <p className="quiet">There is no such {what}, or it is not yours to see.</p>;
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}
