// What stands around every page: the name, the organization, the way to other pages, and out.

import type { ReactNode } from "react";
import { Link, NavLink, Outlet } from "react-router";
import { auth } from "../auth/AuthProvider";
import { OrganizationSwitcher } from "../organizations/OrganizationSwitcher";
import { usePlaces } from "../organizations/OrganizationProvider";

const PAGES = [
  ["/", "Workflows"],
  ["/campaigns", "Campaigns"],
  ["/people", "People"],
  ["/billing", "Billing"],
] as const;

export function Shell() {
  const { viewer, current } = usePlaces();
  return (
    <>
      <a className="skip" href="#main">Skip to content</a>
      <header className="top">
        <div className="wide">
          <Brand />
          <OrganizationSwitcher />
          <div className="account">
            <span className="quiet">{viewer.email}</span>
            <button type="button" onClick={() => void auth.signOut()}>Sign out</button>
          </div>
        </div>
        {current && (
          <nav className="wide" aria-label="Main">
            {PAGES.map(([to, title]) => <NavLink key={to} to={to} end={to === "/"}>{title}</NavLink>)}
          </nav>
        )}
      </header>
      <main id="main" className="wide"><Outlet /></main>
    </>
  );
}

export function SignedOutShell({ children }: { children: ReactNode }) {
  return (
    <>
      <header className="top"><div className="wide"><Brand /></div></header>
      <main id="main" className="wide">{children}</main>
    </>
  );
}

function Brand() {
  return <Link className="brand" to="/"><img src="/icon.svg" alt="" width="28" height="28" /> Switchboard</Link>;
}
