// Replies of the assistant: streamed, cut off and gone on with, and paid once.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { WebSocket } from "ws";

import type { AuraClient, LocalReply } from "../src/index.js";
import { aDevice, ask, devicesOf, shown, synced } from "./server.js";

const open: AuraClient[] = [];
after(() => Promise.all(open.map((device) => device.close())));
const ANALYSIS = { overall_analysis: { summary: "A climber who reads.", red_flags: ["Late"] } };

async function talking() {
  const { devices, tokens } = await devicesOf(2);
  open.push(...devices);
  const [phone, laptop] = devices as [AuraClient, AuraClient];
  const kim = await phone.createProfile({ name: "Kim", analysis: ANALYSIS });
  const credits = async () => {
    const query = "{ viewer { credits { balance held } } }";
    const { viewer } = await ask<{ viewer: { credits: { balance: number; held: number } } }>(
      query,
      {},
      tokens.accessToken,
    );
    return viewer.credits;
  };
  return { phone, laptop, kim, credits };
}

test("a reply is shown while it is written, and is on both devices once", async () => {
  const { phone, laptop, kim } = await talking();
  const seen: string[] = [];
  // The profile is not on the server yet: asking takes it there.
  const reply = await phone.chats.ask(kim, "Any red flags?", ({ text }) => seen.push(text));
  assert.equal(reply.status, "SUCCEEDED");
  assert.equal(seen.at(-1), reply.text);
  for (const [at, text] of seen.entries()) assert.ok(text.startsWith(seen[at - 1] ?? ""));
  await synced(laptop);
  assert.deepEqual(await shown(phone), await shown(laptop));
  assert.deepEqual((await shown(laptop))[0]?.chat, [
    "USER: Any red flags?",
    `ASSISTANT: ${reply.text}`,
  ]);
});

test("a question whose answer is lost and a line that is cut are paid once", async () => {
  const { phone, kim, credits } = await talking();
  await synced(phone);
  const before = await credits();
  let sends = 0;
  const sockets: WebSocket[] = [];
  class CutSocket extends WebSocket {
    constructor(address: string, protocols: string[]) {
      super(address, protocols);
      sockets.push(this);
      // The line is cut as soon as the first piece has come.
      if (sockets.length === 1) {
        this.on("message", (data) => String(data).includes('"delta"') && this.terminate());
      }
    }
  }
  const flaky = aDevice({
    name: phone.store.name,
    webSocketImpl: CutSocket,
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      if (String(init?.body).includes("sendChatMessage") && ++sends === 1) {
        throw new TypeError("cut off");
      }
      return response;
    },
  });
  open.push(flaky);
  const reply = await flaky.chats.ask(kim, "What do they like?");
  assert.equal(reply.status, "SUCCEEDED");
  assert.ok(sends === 2 && sockets.length >= 2, `${sends} sends, ${sockets.length} sockets`);
  const { nodes } = await ask<{ nodes: { text: string; creditsCharged: number }[] }>(
    "query($ids: [ID!]!) { nodes(ids: $ids) { ... on ChatMessage { text creditsCharged } } }",
    { ids: [reply.messageId] },
    await flaky.transport.session.accessToken(),
  );
  assert.equal(reply.text, nodes[0]?.text);
  const after = await credits();
  assert.equal(after.balance, before.balance - (nodes[0]?.creditsCharged ?? 0));
  assert.equal(after.held, 0);
});

test("an app that was closed goes on with the reply when it is opened again", async () => {
  const { phone, kim } = await talking();
  await synced(phone);
  const closed = new AbortController();
  const key = crypto.randomUUID();
  await phone.store.replies.add({
    key,
    localId: kim,
    question: "What do they like?",
    messageId: null,
    cursor: null,
    text: "",
    status: "QUEUED",
    errorCode: null,
  } satisfies LocalReply);
  await phone.chats.follow(key, () => closed.abort(), closed.signal);
  const again = aDevice({ name: phone.store.name });
  open.push(again);
  await again.chats.resume();
  const reply = await again.store.replies.get(key);
  assert.equal(reply?.status, "SUCCEEDED");
  await synced(again);
  assert.equal((await shown(again))[0]?.chat.at(-1), `ASSISTANT: ${reply?.text}`);
});

test("what is refused says why and is not asked for again", async () => {
  const { phone, kim } = await talking();
  const reply = await phone.chats.ask(kim, "x".repeat(5_000));
  assert.deepEqual([reply.status, reply.errorCode], ["REFUSED", "BAD_USER_INPUT"]);
  assert.deepEqual(await phone.chats.resume(), []);
});
