// Devices that work offline, are cut off anywhere, and agree in the end.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import type { AuraClient, Groups } from "../src/index.js";
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
  // A page ends at 2 MB, a request at 1 MiB or 15,000 values.
  const note = "x".repeat(200_000);
  const many = Array.from({ length: 9_000 }, (_, at) => at);
  for (let at = 0; at < 25; at++) {
    const analysis = at < 22 ? { note } : { many };
    await phone.store.createProfile({ name: `profile ${at}`, analysis });
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

test("a picture that is refused stays on its device, is told of, and waits for another", async () => {
  const { phone, laptop } = await pair();
  const sent: string[] = [];
  const device = aDevice({
    name: phone.store.name,
    fetch: (url, init) => {
      sent.push(String(init?.body));
      return fetch(url, init);
    },
  });
  open.push(device);
  const none = "bm8gcGljdHVyZQ==";
  const large = "A".repeat(800_000);
  const kim = await device.createProfile({ name: "Kim", thumbnail: none });
  const sam = await device.createProfile({ name: "Sam", thumbnail: large });
  await device.createProfile({ name: "Eve" });
  await synced(device, laptop);
  const names = async () => (await shown(laptop)).map(({ name }) => name).sort();
  assert.deepEqual(await names(), ["Eve", "Kim", "Sam"]);
  const { refused, pendingChanges } = device.sync.status;
  assert.deepEqual(
    refused.map(({ localId }) => localId),
    [kim, sam],
  );
  assert.ok(refused.every(({ code, message }) => code && message));
  assert.equal(pendingChanges, 0);
  // Neither an edit sends it again, nor does what comes of the profile replace it.
  sent.length = 0;
  await device.updateProfile(kim, { name: "Kim B." });
  const there = (await laptop.store.shown()).find(({ name }) => name === "Sam");
  assert.ok(there);
  await laptop.updateProfile(there.localId, { name: "Sam B." });
  await synced(laptop, device, laptop);
  assert.ok(sent.length && !sent.some((body) => body.includes(none)));
  assert.deepEqual(await names(), ["Eve", "Kim B.", "Sam B."]);
  const pictures = async () =>
    (await device.store.profiles.bulkGet([kim, sam])).map((profile) => profile?.thumbnail);
  assert.deepEqual(await pictures(), [none, large]);
  assert.equal(device.sync.status.refused.length, 2);
  // Another picture, or none, takes its place.
  await device.updateProfile(kim, { thumbnail: null });
  await device.updateProfile(sam, { thumbnail: null });
  await synced(device);
  assert.deepEqual(device.sync.status.refused, []);
  assert.equal(await device.store.outbox.count(), 0);
});

const REFUSED: [string, Partial<Groups>, string][] = [
  ["a name that is too long", { name: "x".repeat(256) }, "BAD_USER_INPUT"],
  ["U+0000", { name: "Kim\0" }, "BAD_USER_INPUT"],
  ["a large analysis", { analysis: { note: "x".repeat(300_000) } }, "BAD_USER_INPUT"],
  [
    "too many values",
    { analysis: { many: Array.from({ length: 16_000 }, (_, at) => at) } },
    "QUERY_TOO_COMPLEX",
  ],
  ["a picture beyond a request", { thumbnail: "A".repeat(1_200_000) }, "LIMIT_EXCEEDED"],
];

for (const [what, groups, expected] of REFUSED) {
  test(`${what} is set aside, and keeps nothing else waiting`, async () => {
    const { phone, laptop } = await pair();
    for (let at = 0; at < 5; at++) await phone.createProfile({ name: `before ${at}` });
    const bad = await phone.createProfile(groups);
    await phone.addMessage(bad, "USER", "Likes climbing");
    for (let at = 0; at < 5; at++) await phone.createProfile({ name: `after ${at}` });
    await synced(phone, laptop);
    const { pendingChanges, refused } = phone.sync.status;
    assert.deepEqual([pendingChanges, refused.length], [0, 1]);
    assert.deepEqual([refused[0]?.localId, refused[0]?.code], [bad, expected]);
    assert.ok(refused[0]?.message);
    // What is good of the profile has gone, too.
    const there = await shown(laptop);
    assert.equal(there.length, 11);
    assert.deepEqual(
      there.flatMap(({ chat }) => chat),
      ["USER: Likes climbing"],
    );
    // It stays as it is here, is not sent again, and goes when it is mended.
    await synced(phone);
    const kept = await phone.store.profiles.get(bad);
    for (const [group, value] of Object.entries(groups)) {
      assert.deepEqual(kept?.[group as "name"], value);
    }
    const mended: Partial<Groups> = { name: "mended" };
    if (groups.thumbnail) mended.thumbnail = null;
    if (groups.analysis) mended.analysis = {};
    await phone.updateProfile(bad, mended);
    await synced(phone, laptop);
    assert.deepEqual(phone.sync.status.refused, []);
    assert.equal(await phone.store.outbox.count(), 0);
    assert.ok((await shown(laptop)).some(({ name }) => name === "mended"));
    assert.deepEqual(await shown(phone), await shown(laptop));
  });
}

test("a message that is refused keeps neither its profile nor its chat back", async () => {
  const { phone, laptop, onPhone } = await sharing();
  await phone.addMessage(onPhone, "USER", "one");
  await phone.addMessage(onPhone, "USER", "x".repeat(140_000));
  await phone.addMessage(onPhone, "USER", "two");
  await synced(phone);
  assert.equal(phone.sync.status.refused[0]?.localId, onPhone);
  // An edit tries it once more, by itself.
  await phone.updateProfile(onPhone, { name: "Kim B." });
  await synced(phone, laptop);
  assert.equal(phone.sync.status.refused.length, 1);
  const [there] = await shown(laptop);
  assert.deepEqual([there?.name, there?.chat], ["Kim B.", ["USER: one", "USER: two"]]);
  await phone.deleteProfile(onPhone);
  await synced(phone, laptop);
  assert.deepEqual([phone.sync.status.refused, await shown(laptop)], [[], []]);
});

test("an edit that was made before the refusal takes the place of what was refused", async () => {
  const { phone, laptop } = await pair();
  const kim = await phone.createProfile({ name: "x".repeat(256) });
  // Sent once, so it is not changed any more; the edit waits behind it.
  await phone.store.nextBatch(1);
  await phone.updateProfile(kim, { name: "Kim" });
  await synced(phone, laptop);
  assert.deepEqual(phone.sync.status.refused, []);
  assert.deepEqual(
    (await shown(laptop)).map(({ name }) => name),
    ["Kim"],
  );
  // One that was never taken needs no deletion.
  const bad = await phone.createProfile({ name: "x".repeat(256) });
  await synced(phone);
  await phone.deleteProfile(bad);
  assert.equal(await phone.store.outbox.count(), 0);
});

test("an edit of what was refused meets the other device's as a conflict", async () => {
  const { phone, laptop, onPhone, onLaptop } = await sharing();
  await phone.updateProfile(onPhone, { name: "x".repeat(256) });
  await synced(phone);
  await laptop.updateProfile(onLaptop, { name: "by the laptop" });
  await synced(laptop, phone);
  // The phone has not shown the laptop's name, and does not write over it unseen.
  assert.equal((await shown(phone))[0]?.name, "x".repeat(256));
  await phone.updateProfile(onPhone, { name: "by the phone" });
  await synced(phone, laptop);
  assert.deepEqual(
    (await phone.store.conflicts.toArray()).map(({ value, loser }) => [value, loser]),
    [["by the laptop", "SERVER"]],
  );
  assert.deepEqual(await shown(phone), await shown(laptop));
});

test("what finds no room is set aside, and goes once there is some", async () => {
  const { phone, laptop } = await pair();
  // A guest may have 200 profiles.
  const made = [];
  for (let at = 0; at < 203; at++) made.push(await phone.createProfile({ name: `profile ${at}` }));
  await synced(phone, laptop);
  const { pendingChanges, refused } = phone.sync.status;
  assert.deepEqual(
    [pendingChanges, refused.map(({ localId, code }) => [localId, code])],
    [0, made.slice(200).map((localId) => [localId, "QUOTA_EXCEEDED"])],
  );
  assert.equal((await shown(laptop)).length, 200);
  assert.equal((await shown(phone)).length, 203);
  // An edit of another profile goes; what was refused is not sent again with it.
  await phone.updateProfile(made[0] as number, { name: "renamed" });
  await phone.deleteProfile(made[1] as number);
  await synced(phone, laptop);
  assert.equal(phone.sync.status.refused.length, 2);
  const names = (await shown(laptop)).map(({ name }) => name);
  assert.equal(names.length, 200);
  assert.ok(names.includes("renamed") && names.includes("profile 200"));
});

test("half a character is replaced before it is written", async () => {
  const { phone, laptop } = await pair();
  const half = "Kim 😀".slice(0, -1);
  const kim = await phone.createProfile({ name: half, analysis: { [half]: [half, "😀"] } });
  await phone.addMessage(kim, "USER", half);
  await synced(phone, laptop);
  const [there] = await shown(laptop);
  const whole = "Kim \uFFFD";
  assert.deepEqual([there?.name, there?.chat], [whole, [`USER: ${whole}`]]);
  assert.deepEqual(there?.analysis, { [whole]: [whole, "😀"] });
  // What an earlier version of the app has written goes, too.
  await phone.updateProfile(kim, { name: "Kim" });
  await phone.store.outbox.toCollection().modify({ groups: { name: half } });
  await synced(phone, laptop);
  assert.deepEqual([(await shown(laptop))[0]?.name, phone.sync.status.refused], [whole, []]);
});

test("what a proxy refuses is set aside; where everything is refused, nothing is", async () => {
  const { phone, laptop } = await pair();
  let isClosed = true;
  const behind = aDevice({
    name: phone.store.name,
    fetch: async (url, init) =>
      isClosed || String(init?.body).includes("poison")
        ? new Response("<html>", { status: isClosed ? 400 : 413 })
        : fetch(url, init),
  });
  open.push(behind);
  const bad = await behind.createProfile({ name: "poison" });
  await behind.createProfile({ name: "Kim" });
  const { state, pendingChanges, refused } = await behind.sync.sync();
  assert.deepEqual([state, pendingChanges, refused], ["error", 2, []]);
  isClosed = false;
  await synced(behind, laptop);
  const codes = behind.sync.status.refused.map(({ localId, code }) => [localId, code]);
  assert.deepEqual(codes, [[bad, "LIMIT_EXCEEDED"]]);
  assert.deepEqual(
    (await shown(laptop)).map(({ name }) => name),
    ["Kim"],
  );
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
  const [talkedAbout] = await laptop.store.shown();
  assert.ok(talkedAbout);
  await laptop.addMessage(talkedAbout.localId, "USER", "Likes climbing");
  const texts = async () => (await tablet.store.messages.toArray()).map(({ text }) => text);
  await until("the message is told live", async () => (await texts()).includes("Likes climbing"));
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
