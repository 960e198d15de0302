// Which organization the user works in and as what; it stays up to date while the page is open.

import { useQuery, useSubscription } from "@apollo/client/react";
import { createContext, type ReactNode, useContext } from "react";
import { Loading, Missing } from "../shared/Page";
import type { OrganizationRole } from "../gql/graphql";
import { SHELL, WATCH_ORGANIZATION } from "./operations";

export type Place = { id: string; name: string; role: OrganizationRole };

type Places = {
  viewer: { id: string; email: string };
  places: readonly Place[];
  /** Null for who is in no organization yet. */
  current: Place | null;
};

const OrganizationContext = createContext<Places | null>(null);

export function OrganizationProvider({ children }: { children: ReactNode }) {
  const { data, error, loading } = useQuery(SHELL);
  const viewer = data?.viewer;
  const places = (viewer?.memberships.nodes ?? []).flatMap(({ organization, role }) =>
    organization ? [{ ...organization, role }] : [],
  );
  const current = places.find(({ id }) => id === viewer?.selectedOrganization?.id) ?? places[0] ?? null;
  useSubscription(WATCH_ORGANIZATION, {
    variables: { id: current?.id ?? "" },
    skip: !current,
    ignoreResults: true,
  });
  if (!viewer) return loading ? <Loading /> : <Missing error={error} what="account" />;
  const value = { viewer: { id: viewer.id, email: viewer.email ?? "" }, places, current };
  return <OrganizationContext value={value}>{children}</OrganizationContext>;
}

export function usePlaces(): Places {
  const places = useContext(OrganizationContext);
  if (!places) throw new Error("usePlaces() stands outside of OrganizationProvider");
  return places;
}

/** The organization that a page is about, and what the user may do in it. */
export function useOrganization() {
  const { current } = usePlaces();
  if (!current) throw new Error("this page is for members of an organization");
  const { role } = current;
  return { ...current, isOwner: role === "OWNER", canManage: role === "OWNER" || role === "ADMIN", canEdit: role !== "VIEWER" };
}
