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
  let wasRefused = false;
  return createClient({
    url: endpoint("ws"),
    retryAttempts: Infinity,
    shouldRetry: () => true,
    connectionParams: async () => {
      const { data } = wasRefused ? await client.refreshSession() : await client.getSession();
      wasRefused = false;
      return data.session ? { authorization: `Bearer ${data.session.accessToken}` } : {};
    },
    on: {
      closed: (event) => {
        wasRefused = (event as CloseEvent).code === FORBIDDEN;
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
