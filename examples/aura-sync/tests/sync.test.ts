// Devices that work offline, are cut off anywhere, and agree in the end.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import type { AuraClient } from "../src/index.js";
import { aDevice, ask, devicesOf, guest, shown, signIn, signUp, synced, until } from "./server.js";

const open: AuraClient[] = [];
after(() => Promise.all(open.map((device) => device.close())));

async function pair() {
  const made = await devicesOf(2);
  open.push(...made.devices);
  const [phone, laptop] = made.devices as [AuraClient, AuraClient];
  return { ...made, phone, laptop };
}

/** Both devices with one profile that both know; its number on each. */
async function sharing() {
  const made = await pair();
  const onPhone = await made.phone.createProfile({ name: "Kim", analysis: { age: 31 } });
  await synced(made.phone, made.laptop);
  const [profile] = await made.laptop.store.shown();
  assert.ok(profile);
  return { ...made, onPhone, onLaptop: profile.localId };
}

test("what is written offline is on the other device after a sync", async () => {
  const { phone, laptop } = await pair();
  const kim = await phone.createProfile({ name: "Kim", analysis: { age: 31 } });
  await phone.updateProfile(kim, { name: "Kim B." });
  await phone.addMessage(kim, "USER", "Likes climbing");
  // What was not sent is one change.
  assert.equal(await phone.store.outbox.count(), 1);
  await synced(phone, laptop);
  assert.equal(phone.sync.status.pendingChanges, 0);
  const there = await shown(laptop);
  assert.deepEqual(there, await shown(phone));
  assert.deepEqual([there[0]?.name, there[0]?.chat], ["Kim B.", ["USER: Likes climbing"]]);
});

test("field groups hold by themselves, and what lost can be brought back", async () => {
  const { phone, laptop, onPhone, onLaptop } = await sharing();
  await phone.updateProfile(onPhone, { name: "by the phone" });
  await phone.updateProfile(onPhone, { analysis: { age: 32 } });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await laptop.updateProfile(onLaptop, { name: "by the laptop" });
  // The later write comes first, so the phone's loses when it comes.
  await synced(laptop, phone, laptop);
  for (const device of [phone, laptop]) {
    const [profile] = await shown(device);
    assert.deepEqual([profile?.name, profile?.analysis], ["by the laptop", { age: 32 }]);
  }
  const [conflict, ...others] = await phone.store.conflicts.toArray();
  assert.ok(conflict);
  assert.deepEqual([conflict.value, conflict.loser, others], ["by the phone", "CLIENT", []]);
  await phone.sync.resolve(conflict.id, "LOST");
  await synced(laptop);
  for (const device of [phone, laptop]) {
    assert.equal((await shown(device))[0]?.name, "by the phone");
  }
});

test("a version that gave way here while a change waited comes when the change has lost", async () => {
  const { phone, laptop, onPhone, onLaptop } = await sharing();
  let written = false;
  const slow = aDevice({
    name: phone.store.name,
    // The phone's user renames it while a sync is under way that brings the laptop's name.
    fetch: async (...request) => {
      const response = await fetch(...request);
      if (!written) {
        written = true;
        await phone.store.updateProfile(onPhone, { name: "meanwhile" });
      }
      return response;
    },
    now: () => Date.now() - 5_000,
    strategy: "SERVER_WINS",
  });
  open.push(slow);
  await laptop.updateProfile(onLaptop, { name: "by the laptop" });
  await synced(laptop, slow, laptop);
  assert.equal((await shown(slow))[0]?.name, "by the laptop");
  assert.equal((await shown(laptop))[0]?.name, "by the laptop");
  assert.equal((await slow.store.conflicts.toArray())[0]?.value, "meanwhile");
});

test("deletions reach the other device, and never come back by themselves", async () => {
  const { phone, laptop, onPhone, onLaptop } = await sharing();
  await phone.deleteProfile(onPhone);
  assert.deepEqual(await shown(phone), []);
  await synced(phone, laptop, phone);
  assert.deepEqual([await shown(phone), await shown(laptop)], [[], []]);
  assert.equal(await laptop.store.profiles.get(onLaptop), undefined);
  // What was never sent needs no deletion.
  const draft = await phone.createProfile({ name: "Draft" });
  await phone.deleteProfile(draft);
  assert.equal(await phone.store.outbox.count(), 0);
});

test("an edit that is later than a deletion brings the profile back with its chat", async () => {
  const { phone, laptop, onPhone, onLaptop } = await sharing();
  await phone.addMessage(onPhone, "USER", "Hi");
  await synced(phone, laptop);
  await phone.deleteProfile(onPhone);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await laptop.updateProfile(onLaptop, { name: "still here" });
  await synced(phone, laptop, phone, laptop);
  for (const device of [phone, laptop]) {
    const [profile] = await shown(device);
    assert.deepEqual([profile?.name, profile?.chat], ["still here", ["USER: Hi"]]);
  }
});

test("a deletion that loses shows the profile again", async () => {
  const { phone, laptop, onPhone, onLaptop } = await sharing();
  await phone.deleteProfile(onPhone);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await laptop.updateProfile(onLaptop, { name: "still here" });
  await synced(laptop, phone, laptop);
  for (const device of [phone, laptop]) {
    assert.equal((await shown(device))[0]?.name, "still here");
  }
});

test("a guest's profiles are the member's after the merge, also on the guest's phone", async () => {
  const phone = aDevice();
  const laptop = aDevice();
  open.push(phone, laptop);
  const tried = await guest();
  await phone.signIn(tried);
  const kim = await phone.createProfile({ name: "Kim" });
  await synced(phone);
  const { email, tokens } = await signUp();
  const merge = `mutation($token: String!) {
    mergeAnonymousAccount(input: { anonymousRefreshToken: $token }) { errors { code } } }`;
  await ask(merge, { token: tried.refreshToken }, tokens.accessToken);
  await laptop.signIn(tokens);
  await phone.signIn(await signIn(email), { merged: true });
  await phone.updateProfile(kim, { name: "Kim B." });
  await synced(phone, laptop);
  assert.deepEqual(await shown(phone), await shown(laptop));
  assert.deepEqual(
    (await shown(laptop)).map(({ name }) => name),
    ["Kim B."],
  );
});

test("many profiles come and go in pages, also to a device that begins anew", async () => {
  const { phone, laptop } = await pair();
  // A page ends at 2 MB, a request at 1 MiB.
  const note = "x".repeat(200_000);
  for (let at = 0; at < 25; at++) {
    await phone.store.createProfile({ name: `profile ${at}`, analysis: { note } });
  }
  await synced(phone, laptop);
  assert.equal((await laptop.store.shown()).length, 25);
  const [gone] = await laptop.store.shown();
  assert.ok(gone);
  await laptop.deleteProfile(gone.localId);
  await synced(laptop);
  // A phone that begins anew is told of no deletion: what it is not told of is gone.
  await phone.store.beginAnew();
  await synced(phone);
  const names = (await phone.store.shown()).map(({ name }) => name);
  assert.equal(new Set(names).size, 24);
  assert.equal(names.length, 24);
});

test("an access token that is no longer taken is renewed once, however many need it", async () => {
  const { phone } = await pair();
  const tokens = await phone.store.state("tokens");
  assert.ok(tokens);
  let renewals = 0;
  const device = aDevice({
    fetch: (url, init) => {
      if (String(init?.body).includes("refreshSession")) renewals += 1;
      return fetch(url, init);
    },
  });
  open.push(device);
  await device.signIn({ ...tokens, accessToken: "expired" });
  const answers = await Promise.all([
    device.sync.sync(),
    device.transport.ask<{ viewer: { id: string } }>("{ viewer { id } }"),
  ]);
  assert.equal(answers[0].state, "idle");
  assert.equal(answers[1].viewer.id, tokens.userId);
  assert.equal(renewals, 1);
  // The end of a session loses nothing of what waits.
  await device.createProfile({ name: "Kim" });
  await device.store.setState("tokens", { ...tokens, accessToken: "x", refreshToken: "y" });
  assert.equal((await device.sync.sync()).state, "signedOut");
  assert.equal(await device.store.outbox.count(), 1);
});

test("a device syncs when it starts, is seen, is online and is told of a change", async () => {
  const { devices, tokens } = await devicesOf(2, { gatherMilliseconds: 10 });
  open.push(...devices);
  const [phone, laptop] = devices as [AuraClient, AuraClient];
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const window = new EventTarget();
  const tablet = aDevice({ surroundings: { document, window } });
  open.push(tablet);
  await tablet.signIn(tokens);
  const count = async () => (await tablet.store.shown()).length;
  await phone.createProfile({ name: "first" });
  await until("the phone's change is sent by itself", async () => !(await phone.store.outbox.count()));
  tablet.start();
  await until("the first sync", async () => (await count()) === 1);
  await laptop.createProfile({ name: "second" });
  await until("the change is told live", async () => (await count()) === 2);
  for (const happen of [
    () => document.dispatchEvent(new Event("visibilitychange")),
    () => window.dispatchEvent(new Event("online")),
  ]) {
    await tablet.sync.sync();
    const before = await tablet.store.state("lastSyncAt");
    await new Promise((resolve) => setTimeout(resolve, 2));
    happen();
    await until("a sync", async () => (await tablet.store.state("lastSyncAt")) !== before);
  }
});
