// The product's switches, turned by an admin while clients are connected.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import type { AuraClient } from "../src/index.js";
import { ask, devicesOf, until } from "./server.js";

const open: AuraClient[] = [];
after(() => Promise.all(open.map((device) => device.close())));
const ADMIN = process.env["ADMIN_TOKEN"];

async function turn(isOn: boolean): Promise<void> {
  const set = `mutation($value: Boolean!) { setSwitch(input: {
    name: SYNC_ENABLED, value: $value, reason: "a drill" }) { errors { code } } }`;
  const { setSwitch } = await ask<{ setSwitch: { errors: unknown[] } }>(
    set,
    { value: isOn },
    ADMIN,
  );
  assert.deepEqual(setSwitch.errors, []);
}

test("while sync is off the device stays local, and catches up by itself", { skip: !ADMIN }, async () => {
  const { devices } = await devicesOf(1);
  const [phone] = devices as [AuraClient];
  open.push(phone);
  phone.start();
  await until("the switches", async () => (await phone.store.state("switches")) !== null);
  try {
    await turn(false);
    await until("sync is off", async () => phone.sync.status.state === "off");
    await phone.createProfile({ name: "Kim" });
    const { state, pendingChanges } = await phone.sync.sync();
    assert.deepEqual([state, pendingChanges], ["off", 1]);
    assert.equal((await phone.store.shown()).length, 1);
  } finally {
    await turn(true);
  }
  await until("it has caught up", async () => phone.sync.status.pendingChanges === 0);
});
