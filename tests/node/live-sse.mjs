// Watches with the graphql-sse client: prints each item, and comes back by itself when cut off.

import { createClient } from "graphql-sse";

const [url, authorization, query, wanted] = process.argv.slice(2);
let cursor = null;
const client = createClient({
  url,
  headers: () => ({ authorization, ...(cursor ? { "last-event-id": cursor } : {}) }),
  retryAttempts: 10_000,
  retry: () => new Promise((resolve) => setTimeout(resolve, 100)),
  onMessage: ({ event, data }) => {
    if (event === "next") cursor = Object.values(data.data)[0]?.cursor ?? cursor;
  },
});

let count = 0;
for await (const item of client.iterate({ query })) {
  console.log(JSON.stringify(item));
  if (++count === Number(wanted)) break;
}
client.dispose();
