// PostGraphile 5 over the same tables, roles and policies, as its documentation says to run it in
// production; `viewer` and the payload of `spendCredits` are all that it is given by hand.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createLocalJWKSet, jwtVerify } from "jose";
import pg from "pg";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { context } from "postgraphile/grafast";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { extendSchema, gql, jsonPgSmartTags } from "postgraphile/utils";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const REMEMBERED_TOKENS = 50_000;
// More documents than any workload has: the rotation must not be a measurement of evictions.
const REMEMBERED_DOCUMENTS = 4_000;

const keys = createLocalJWKSet(config.jwks);
const verified = new Map();

/** Whose token it is. Verified once and remembered, as every server under measurement does. */
async function userOf(authorization) {
  const token = authorization?.startsWith("Bearer ") ? authorization.slice(7) : null;
  if (token === null) throw new Error("a token is needed");
  let known = verified.get(token);
  if (known === undefined) {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: ["EdDSA"], typ: "at+jwt", issuer: config.issuer, audience: config.audience,
    });
    known = { userId: payload.sub, expiresAt: payload.exp };
    if (verified.size >= REMEMBERED_TOKENS) verified.delete(verified.keys().next().value);
    verified.set(token, known);
  }
  if (known.expiresAt * 1000 <= Date.now()) throw new Error("the token has expired");
  return known.userId;
}

const Names = jsonPgSmartTags({
  version: 1,
  config: {
    constraint: {
      "profiles.fk_profiles_user_id": { tags: { foreignFieldName: "profiles" } },
      "generations.fk_generations_user_id": { tags: { foreignFieldName: "generations" } },
      "generations.fk_generations_tool_id": { tags: { fieldName: "tool" } },
    },
    // The database has no such constraint: books outlive their owners.
    class: {
      wallets: {
        tags: { foreignKey: "(user_id) references users (id)|@foreignFieldName credits" },
      },
    },
    procedure: { "app.spend_credits": { tags: { name: "spend_credits" } } },
  },
});

const Viewer = extendSchema((build) => {
  const { users, credit_transactions: transactions } = build.input.pgRegistry.pgResources;
  return {
    typeDefs: gql`
      extend type Query { viewer: User }
      extend type SpendCreditsPayload { transaction: CreditTransaction credits: Wallet }
    `,
    objects: {
      Query: { plans: { viewer: () => users.get({ id: context().get("userId") }) } },
      SpendCreditsPayload: {
        plans: {
          transaction: ($payload) => transactions.get({ id: $payload.get("result") }),
          credits: ($payload) =>
            transactions.get({ id: $payload.get("result") }).singleRelation("walletsByMyUserId"),
        },
      },
    },
  };
});

const preset = {
  extends: [PostGraphileAmberPreset],
  plugins: [Names, Viewer],
  pgServices: [
    makePgService({
      pool: new pg.Pool({ connectionString: config.url, max: config.pool_size }),
      schemas: ["public", "app"],
    }),
  ],
  grafast: {
    explain: false,
    async context(request) {
      const userId = await userOf(request.http?.getHeader("authorization"));
      return { userId, pgSettings: { "app.user_id": userId } };
    },
  },
  schema: {
    queryCacheMaxLength: REMEMBERED_DOCUMENTS,
    operationsCacheMaxLength: REMEMBERED_DOCUMENTS,
  },
  grafserv: {
    graphiql: false,
    watch: false,
    websockets: false,
    outputDataAsString: true,
    parseAndValidateCacheSize: REMEMBERED_DOCUMENTS,
  },
};

const instance = postgraphile(preset);
await instance.getSchema();
const server = createServer({ keepAliveTimeout: 65_000 });
await instance.createServ(grafserv).addTo(server);
server.listen(config.port, "127.0.0.1");
