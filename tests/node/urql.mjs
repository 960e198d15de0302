// urql with its normalising cache, which knows the schema: a query, mutations, merged pages.

import { Client, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { getIntrospectionQuery } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import * as operations from "./operations.mjs";

const { say, namesOf } = operations;
const [url, accessToken] = process.argv.slice(2);
const headers = { authorization: `Bearer ${accessToken}` };
const [VIEWER, PAGE, CREATE, RENAME, DELETE, SPEND, WALLET] = [
  "VIEWER", "PAGE", "CREATE", "RENAME", "DELETE", "SPEND", "WALLET",
].map((name) => gql(operations[name]));

// The cache tells here what it does not find in the schema, and which objects it cannot keep.
const warnings = [];
console.warn = (message) => warnings.push(message);

async function introspect() {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: getIntrospectionQuery() }),
  });
  return (await response.json()).data;
}

const cache = cacheExchange({
  schema: await introspect(),
  resolvers: { User: { profiles: relayPagination() } },
  updates: {
    Mutation: {
      createProfile(result, _, store) {
        if (!result.createProfile.profile) return;
        const viewer = store.resolve("Query", "viewer");
        if (viewer) store.invalidate(viewer, "profiles", { first: 2 });
      },
      deleteProfile({ deleteProfile: { deletedId } }, _, store) {
        store.invalidate({ __typename: "Profile", id: deletedId });
      },
    },
  },
});
const socket = createClient({
  url: url.replace("http", "ws"),
  webSocketImpl: WebSocket,
  connectionParams: headers,
  retryAttempts: 0,
});
const overSocket = subscriptionExchange({
  forwardSubscription: (request) => ({
    subscribe: (sink) => ({ unsubscribe: socket.subscribe(request, sink) }),
  }),
});
const client = new Client({
  url,
  exchanges: [cache, fetchExchange, overSocket],
  fetchOptions: { headers },
  preferGetMethod: false,
});

async function settled(promise) {
  const { data, error } = await promise;
  if (error) throw error;
  return data;
}

const query = (...request) => settled(client.query(...request).toPromise());
const mutate = (...request) => settled(client.mutation(...request).toPromise());
const page = (variables, context) => query(PAGE, variables, context);

say("query", { viewer: (await query(VIEWER, {})).viewer });

for (const name of ["one", "two", "three", "four", "five"]) {
  await mutate(CREATE, { input: { name, analysis: {} } });
}
const refused = await mutate(CREATE, { input: operations.NO_OBJECT });
say("refused", { payload: refused.createProfile });

let merged = await page({ first: 2 });
const sizes = [namesOf(merged).length];
while (merged.viewer.profiles.pageInfo.hasNextPage) {
  const after = merged.viewer.profiles.pageInfo.endCursor;
  merged = await page({ first: 2, after });
  sizes.push(namesOf(merged).length);
}
say("pages", { sizes, names: namesOf(merged) });

const offline = { requestPolicy: "cache-only" };
const { node } = merged.viewer.profiles.edges[0];
await mutate(RENAME, { input: { id: node.id, name: "fifth" } });
say("renamed", { names: namesOf(await page({ first: 2 }, offline)) });
await mutate(DELETE, { id: node.id });
say("deleted", { names: namesOf(await page({ first: 2 })) });
await mutate(CREATE, { input: { name: "six", analysis: {} } });
say("created", { names: namesOf(await page({ first: 2 })) });

const items = [];
await new Promise((resolve, reject) => {
  client.subscription(WALLET, {}).subscribe(async ({ data, error }) => {
    if (error) return reject(error);
    items.push(data.creditsChanged.credits.balance);
    if (items.length === 2) return resolve();
    await mutate(SPEND, { key: "urql" });
  });
});
say("subscription", { items });
const { data: kept } = await client.query(VIEWER, {}, offline);
say("spent", { shown: [items[0], kept.viewer.credits.balance] });
say("warnings", { warnings });
await socket.dispose();
