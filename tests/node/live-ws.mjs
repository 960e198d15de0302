// Watches through a socket with graphql-ws alone, Apollo Client or urql, and resumes when cut off.

import { ApolloClient, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import { once } from "node:events";
import WebSocket from "ws";

const [library, url, authorization, query, wanted] = process.argv.slice(2);
const socket = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: authorization },
  retryAttempts: 10_000,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 100)),
  shouldRetry: () => true,
});

// A subscription is sent again as it was after a reconnect: its `after` must move along.
const variables = {
  values: { after: null },
  toJSON() { return this.values; },
};
let count = 0;

function take(item) {
  const payload = Object.values(item.data)[0];
  variables.values.after = payload.cursor;
  console.log(JSON.stringify(item));
  if (++count === Number(wanted)) process.exit(0);
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

const resuming = {
  ...socket,
  subscribe: (payload, sink) => socket.subscribe({ ...payload, variables }, sink),
};
if (library === "apollo") {
  const link = new GraphQLWsLink(resuming);
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  client.subscribe({ query: gql(query), fetchPolicy: "no-cache" }).subscribe({ next: take, error: fail });
} else if (library === "urql") {
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: resuming.subscribe(request, sink) }),
  });
  const client = new Client({ url, exchanges: [subscriptionExchange({ forwardSubscription })] });
  client.subscription(query, {}).subscribe((result) => (result.error ? fail(result.error) : take(result)));
} else {
  resuming.subscribe({ query }, { next: take, error: fail, complete() {} });
}
await once(process, "exit");
