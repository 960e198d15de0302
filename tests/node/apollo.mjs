// Apollo Client at work: a query, mutations, merged pages, persisted documents, a subscription.

import { createHash } from "node:crypto";
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import * as operations from "./operations.mjs";

const { say, namesOf } = operations;
const [url, accessToken] = process.argv.slice(2);
const authorization = `Bearer ${accessToken}`;
const [VIEWER, PAGE, CREATE, RENAME, DELETE, SPEND, WALLET] = [
  "VIEWER", "PAGE", "CREATE", "RENAME", "DELETE", "SPEND", "WALLET",
].map((name) => gql(operations[name]));

function makeCache() {
  return new InMemoryCache({
    typePolicies: { User: { fields: { profiles: relayStylePagination() } } },
  });
}

function httpLink(fetch) {
  return new HttpLink({ uri: url, headers: { authorization }, fetch });
}

const client = new ApolloClient({ link: httpLink(fetch), cache: makeCache() });

async function create(input) {
  const { data } = await client.mutate({
    mutation: CREATE,
    variables: { input },
    update(cache, { data: { createProfile: { profile } } }) {
      cache.updateQuery({ query: PAGE, variables: { first: 2 } }, (known) => {
        if (!known || !profile) return known;
        const { profiles } = known.viewer;
        const edge = { __typename: "ProfileEdge", cursor: "", node: profile };
        const edges = [edge, ...profiles.edges];
        return { viewer: { ...known.viewer, profiles: { ...profiles, edges } } };
      });
    },
  });
  return data.createProfile;
}

function cached() {
  return namesOf(client.cache.readQuery({ query: PAGE, variables: { first: 2 } }));
}

const { data: asked } = await client.query({ query: VIEWER });
say("query", { viewer: asked.viewer });

for (const name of ["one", "two", "three", "four", "five"]) await create({ name, analysis: {} });
say("refused", { payload: await create(operations.NO_OBJECT) });

const pages = client.watchQuery({ query: PAGE, variables: { first: 2 } });
const watching = pages.subscribe(() => {});
let { data: page } = await pages.refetch();
const sizes = [cached().length];
while (page.viewer.profiles.pageInfo.hasNextPage) {
  const after = page.viewer.profiles.pageInfo.endCursor;
  page = (await pages.fetchMore({ variables: { after } })).data;
  sizes.push(cached().length);
}
say("pages", { sizes, names: cached() });

const { profile } = await create({ name: "six", analysis: {} });
say("created", { names: cached() });
await client.mutate({
  mutation: RENAME,
  variables: { input: { id: profile.id, name: "sixth" } },
});
say("renamed", { names: cached() });
await client.mutate({
  mutation: DELETE,
  variables: { id: profile.id },
  update(cache, { data: { deleteProfile } }) {
    cache.evict({ id: cache.identify({ __typename: "Profile", id: deleteProfile.deletedId }) });
  },
});
say("deleted", { names: cached() });
watching.unsubscribe();

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
for (const useGETForHashedQueries of [true, false]) {
  const [recorded, requests] = operations.recordingFetch();
  const link = new PersistedQueryLink({ sha256, useGETForHashedQueries });
  const persisting = new ApolloClient({
    link: link.concat(httpLink(recorded)),
    cache: makeCache(),
  });
  const mark = useGETForHashedQueries ? "Get" : "Post";
  const query = gql(operations.VIEWER.replace("Viewer", `Viewer${mark}`));
  const answers = [];
  for (let turn = 0; turn < 2; turn += 1) {
    const { data } = await persisting.query({ query, fetchPolicy: "network-only" });
    answers.push(data.viewer.id);
  }
  const { data } = await persisting.mutate({ mutation: RENAME, variables: { input: { id: "x" } } });
  say("persisted", { requests, answers, code: data.updateProfile.errors[0].code });
}

const socket = createClient({
  url: url.replace("http", "ws"),
  webSocketImpl: WebSocket,
  connectionParams: { authorization },
  retryAttempts: 0,
});
const watcher = new ApolloClient({ link: new GraphQLWsLink(socket), cache: makeCache() });
// Nothing updates the cache by hand: the payload of the spend leads back to the viewer.
const shown = [];
const showing = client
  .watchQuery({ query: VIEWER, fetchPolicy: "cache-first" })
  .subscribe(({ data }) => shown.push(data.viewer.credits.balance));
const items = [];
await new Promise((resolve, reject) => {
  watcher.subscribe({ query: WALLET }).subscribe({
    error: reject,
    next: async ({ data, error }) => {
      if (error) return reject(error);
      items.push(data.creditsChanged.credits.balance);
      if (items.length === 2) return resolve();
      await client.mutate({ mutation: SPEND, variables: { key: "apollo" } });
    },
  });
});
say("subscription", { items });
showing.unsubscribe();
say("spent", { shown });
await socket.dispose();
