// Subscribes with the graphql-ws client and prints the first item it receives as a line of JSON.

import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, accessToken] = process.argv.slice(2);
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: { authorization: `Bearer ${accessToken}` },
  retryAttempts: 0,
});

const query = "subscription { creditsChanged { cursor credits { balance held available } } }";
for await (const item of client.iterate({ query })) {
  console.log(JSON.stringify(item));
  break;
}
await client.dispose();
