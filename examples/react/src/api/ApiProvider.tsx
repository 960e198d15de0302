// Apollo Client for whoever is signed in: requests by HTTP, live updates by one WebSocket.

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { ApolloProvider } from "@apollo/client/react";
import { createClient } from "graphql-ws";
import { OperationTypeNode } from "graphql";
import { type ReactNode, useEffect, useMemo } from "react";
import { auth } from "../auth/AuthProvider";
import type { AuthClient } from "../auth/authClient";
import { endpoint } from "./endpoint";

const FORBIDDEN = 4403;
/** What stands in an organization without an id of its own: parts of it add up. */
const PARTS = ["OrganizationLimits", "OrganizationUsage", "OrganizationWithinLimits"];

/** A socket that comes back by itself; the server begins each subscription with the state as it is then. */
function openSocket(client: AuthClient) {
  let sent: string | undefined;
  let refused: string | undefined;
  return createClient({
    url: endpoint("ws"),
    retryAttempts: Infinity,
    shouldRetry: () => true,
    connectionParams: async () => {
      let { session } = (await client.getSession()).data;
      // Whoever was refused may find that a request has renewed the session since: one renewal is enough.
      if (session && session.accessToken === refused) ({ session } = (await client.refreshSession(session)).data);
      sent = session?.accessToken;
      return session ? { authorization: `Bearer ${session.accessToken}` } : {};
    },
    on: {
      closed: (event) => {
        if ((event as CloseEvent).code === FORBIDDEN) refused = sent;
      },
    },
  });
}

/** One for each user: nothing of one's cache is ever shown to another. */
function createApi(client: AuthClient) {
  const socket = openSocket(client);
  const link = ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    new HttpLink({ uri: endpoint("http"), fetch: client.fetch }),
  );
  const typePolicies = Object.fromEntries(PARTS.map((name) => [name, { merge: true }]));
  const apollo = new ApolloClient({ link, cache: new InMemoryCache({ typePolicies }) });
  return { apollo, close: () => void socket.dispose() };
}

export function ApiProvider({ userId, children }: { userId: string; children: ReactNode }) {
  const api = useMemo(() => createApi(auth), [userId]);
  useEffect(() => api.close, [api]);
  return <ApolloProvider client={api.apollo}>{children}</ApolloProvider>;
}
