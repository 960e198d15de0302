// Cuts at any point: requests that never come through, answers that are lost, apps that are closed.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import type { AuraClient } from "../src/index.js";
import { aDevice, devicesOf, guest, shown, synced } from "./server.js";

const open: AuraClient[] = [];
after(() => Promise.all(open.map((device) => device.close())));

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

test("a request that is cut off before or behind the server is sent again as it was", async () => {
  const { devices, tokens } = await devicesOf(1);
  const [laptop] = devices as [AuraClient];
  open.push(laptop);
  const cuts = ["before", "behind", "none"];
  const bodies: string[] = [];
  const phone = aDevice({
    fetch: async (url, init) => {
      const cut = cuts.shift() ?? "none";
      bodies.push(String(init?.body));
      if (cut === "before") throw new TypeError("cut off");
      const response = await fetch(url, init);
      if (cut === "behind") throw new TypeError("cut off");
      return response;
    },
  });
  open.push(phone);
  await phone.signIn(tokens);
  const kim = await phone.createProfile({ name: "Kim" });
  await phone.addMessage(kim, "USER", "Hi");
  await synced(phone, laptop);
  assert.deepEqual(new Set(bodies).size, 1);
  assert.deepEqual(
    (await shown(laptop)).map(({ name, chat }) => [name, chat]),
    [["Kim", ["USER: Hi"]]],
  );
});

test("without a server the device stays as it is, says so, and catches up later", async () => {
  const { devices, tokens } = await devicesOf(1);
  const [laptop] = devices as [AuraClient];
  open.push(laptop);
  let isAway = true;
  const phone = aDevice({
    fetch: (...request) => (isAway ? Promise.reject(new TypeError("offline")) : fetch(...request)),
  });
  open.push(phone);
  await phone.signIn(tokens);
  const kim = await phone.createProfile({ name: "Kim" });
  const { state, pendingChanges } = await phone.sync.sync();
  assert.deepEqual([state, pendingChanges], ["offline", 1]);
  // What was sent is not changed any more; what follows waits behind it.
  await phone.updateProfile(kim, { name: "Kim B." });
  assert.equal(await phone.store.outbox.count(), 2);
  isAway = false;
  await synced(phone, laptop);
  assert.equal((await shown(laptop))[0]?.name, "Kim B.");
});

const SEEDS = (process.env["SEEDS"] ?? "1,2").split(",").map(Number);

for (const seed of SEEDS) {
  test(`any interleaving of three devices converges (seed ${seed})`, async () => {
    const random = numbers(seed);
    const pick = <T>(from: T[]): T => from[Math.floor(random() * from.length)] as T;
    // One request in five never comes through, and one answer in five is lost.
    const flaky: typeof fetch = async (url, init) => {
      const luck = random();
      if (luck < 0.2) throw new TypeError("cut off before");
      const response = await fetch(url, init);
      if (luck > 0.8) throw new TypeError("cut off behind");
      return response;
    };
    const tokens = await guest();
    const skews = [0, 3_600_000, -86_400_000];
    const devices: AuraClient[] = [];
    const restart = async (at: number) => {
      await devices[at]?.close();
      const options = { fetch: flaky, name: `cuts-${seed}-${at}` };
      const now = () => Date.now() + (skews[at] ?? 0);
      devices[at] = aDevice({ ...options, now, backoff: { attempts: 1 } });
    };
    for (const at of [0, 1, 2]) {
      await restart(at);
      await devices[at]?.signIn(tokens);
    }
    let written = 0;
    for (let step = 0; step < 60; step++) {
      const at = Math.floor(random() * 3);
      const device = devices[at] as AuraClient;
      const profiles = await device.store.shown();
      const what = random();
      if (what < 0.15 || !profiles.length) {
        await device.createProfile({ name: `made ${step}`, analysis: { step } });
      } else if (what < 0.3) {
        await device.updateProfile(pick(profiles).localId, { name: `named ${step}` });
      } else if (what < 0.4) {
        await device.updateProfile(pick(profiles).localId, { analysis: { step } });
      } else if (what < 0.55) {
        written += 1;
        await device.addMessage(pick(profiles).localId, "USER", `said ${written}`);
      } else if (what < 0.6) {
        await device.deleteProfile(pick(profiles).localId);
      } else if (what < 0.95) {
        await device.sync.sync();
      } else {
        // The app is closed, perhaps in the middle of a sync, and opened again.
        void device.sync.sync();
        await restart(at);
      }
    }
    for (const at of [0, 1, 2]) {
      const name = (devices[at] as AuraClient).store.name;
      await devices[at]?.close();
      devices[at] = aDevice({ name });
    }
    open.push(...devices);
    await synced(...devices, ...devices, ...devices);
    const [one, two, three] = await Promise.all(devices.map(shown));
    assert.deepEqual(one, two);
    assert.deepEqual(two, three);
    for (const { chat } of one ?? []) assert.equal(new Set(chat).size, chat.length, "no doubles");
  });
}
