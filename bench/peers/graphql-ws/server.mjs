// graphql-ws over ws, as their documentation says to use them: woken by the same bus and reading with
// the same statement as ours; each event goes to the queues of those who watch it.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { GraphQLBoolean, GraphQLID, GraphQLInt, GraphQLNonNull, GraphQLObjectType, GraphQLScalarType,
  GraphQLSchema, GraphQLString } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { createLocalJWKSet, jwtVerify } from "jose";
import pg from "pg";
import { WebSocketServer } from "ws";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const keys = createLocalJWKSet(config.jwks);
const NOTIFICATIONS = "notification.added";
const TOOLS = "tools.changed";

/** Whose token it is. */
async function userOf(authorization) {
  const { payload } = await jwtVerify(authorization.replace(/^Bearer /, ""), keys, {
    algorithms: ["EdDSA"], typ: "at+jwt", issuer: config.issuer, audience: config.audience,
  });
  return payload.sub;
}

/** The cursor of a position, as our server writes it. */
function cursorOf(position) {
  const packed = Buffer.alloc(25);
  packed.writeUInt8(1);
  packed.writeBigUInt64BE(BigInt(config.epoch), 1);
  packed.writeBigUInt64BE(BigInt(position.xid), 9);
  packed.writeBigUInt64BE(BigInt(position.id), 17);
  return packed.toString("base64url");
}

/** What came and was not taken yet; an async iterator. */
class Queue {
  items = [];
  waiting = null;
  ended = false;
  constructor(watchers) {
    this.watchers = watchers;
    watchers.add(this);
  }
  push(item) {
    if (this.waiting === null) {
      this.items.push(item);
    } else {
      this.waiting({ value: item, done: false });
      this.waiting = null;
    }
  }
  next() {
    if (this.items.length > 0) return Promise.resolve({ value: this.items.shift(), done: false });
    if (this.ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => (this.waiting = resolve));
  }
  return() {
    this.ended = true;
    this.watchers.delete(this);
    this.waiting?.({ value: undefined, done: true });
    return Promise.resolve({ value: undefined, done: true });
  }
  [Symbol.asyncIterator]() {
    return this;
  }
}

const watchersByKey = new Map();
let position = { xid: config.position[0], id: config.position[1] };

function watch(topic, userId, first) {
  const key = `${topic} ${userId}`;
  if (!watchersByKey.has(key)) watchersByKey.set(key, new Set());
  const queue = new Queue(watchersByKey.get(key));
  queue.push(first);
  return queue;
}

function publish(row) {
  position = { xid: row.xid, id: row.id };
  const watchers = watchersByKey.get(`${row.topic} ${row.user_id}`);
  if (!watchers?.size) return;
  const event = { cursor: cursorOf(position), row: JSON.parse(row.snapshot) };
  for (const queue of watchers) queue.push(event);
}

const reader = new pg.Client({ connectionString: config.url, options: config.planning });
// The bus wakes nobody unless it sees somebody who listens under this name.
const listener = new pg.Client({
  connectionString: config.url,
  application_name: "tallygraph live",
});
let woken = null;
let isWoken = false;

function wake() {
  isWoken = true;
  woken?.();
}

function untilWoken(milliseconds) {
  if (isWoken) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    woken = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

async function readForEver() {
  for (;;) {
    isWoken = false;
    woken = null;
    const values = [String(position.xid), position.id, config.batch_rows, [NOTIFICATIONS, TOOLS]];
    const { rows } = await reader.query({ name: "read", text: config.read, values });
    const [head, ...events] = rows;
    events.slice(0, config.batch_rows).forEach(publish);
    if (events.length < config.batch_rows) {
      await untilWoken(JSON.parse(head.snapshot).unsettled ? config.poll_ms : config.heartbeat_ms);
    }
  }
}

const Json = new GraphQLScalarType({ name: "JSON" });
const DateTime = new GraphQLScalarType({
  name: "DateTime",
  // Postgres writes what our schema does, but for the zone and trailing zeros.
  serialize(text) {
    const [seconds, fraction = ""] = text.replace("+00:00", "").split(".");
    return `${seconds}.${fraction.padEnd(6, "0")}Z`;
  },
});
const required = (type) => ({ type: new GraphQLNonNull(type) });
const from = (type, column) => ({ ...required(type), resolve: (row) => row[column] });

const Notification = new GraphQLObjectType({
  name: "Notification",
  fields: {
    id: { ...required(GraphQLID), resolve: (row) => `notification_${row.id}` },
    type: required(GraphQLString),
    titleKey: from(GraphQLString, "title_key"),
    messageKey: from(GraphQLString, "message_key"),
    data: required(Json),
    read: required(GraphQLBoolean),
    createdAt: from(DateTime, "created_at"),
  },
});
const Tool = new GraphQLObjectType({
  name: "Tool",
  fields: {
    id: { ...required(GraphQLID), resolve: (row) => `tool_${row.id}` },
    nameKey: from(GraphQLString, "name_key"),
    type: required(GraphQLString),
    creditsCost: from(GraphQLInt, "credits_cost"),
    sortOrder: from(GraphQLInt, "sort_order"),
  },
});

/** A field of the subscription type whose items hold a row. */
function live(name, field, type, topic, isPublic) {
  return {
    ...required(
      new GraphQLObjectType({
        name,
        fields: {
          cursor: required(GraphQLString),
          [field]: { type, resolve: (event) => event.row },
        },
      }),
    ),
    subscribe: (_root, _arguments, context) =>
      watch(topic, isPublic ? null : context.extra.userId, {
        cursor: cursorOf(position),
        row: null,
      }),
    resolve: (event) => event,
  };
}

const schema = new GraphQLSchema({
  query: new GraphQLObjectType({
    name: "Query",
    fields: { hello: { type: GraphQLString, resolve: () => "hello" } },
  }),
  subscription: new GraphQLObjectType({
    name: "Subscription",
    fields: {
      notificationAdded: live("NotificationAdded", "notification", Notification, NOTIFICATIONS, false),
      toolsChanged: live("ToolsChanged", "tool", Tool, TOOLS, true),
    },
  }),
});

await reader.connect();
await listener.connect();
listener.on("notification", wake);
await listener.query(`listen ${config.channel}`);
readForEver();

const server = createServer();
const sockets = new WebSocketServer({ server, path: "/graphql", perMessageDeflate: false });
useServer(
  {
    schema,
    context: (context) => context,
    async onConnect(context) {
      try {
        context.extra.userId = await userOf(context.connectionParams.Authorization);
      } catch {
        return false;
      }
    },
  },
  sockets,
);
server.listen({ port: config.port, host: "127.0.0.1", backlog: 2048 });
