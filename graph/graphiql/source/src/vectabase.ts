// The tabs where Vectabase is loaded: from signing up to a store, licences and a developer's whitelist.
const json = (value: unknown) => JSON.stringify(value, null, 2);

/** Tabs behind the one that signs up; `random` is different at each visit. */
export const vectabaseExamples = (random: string) => [
  {
    query: `# 2. Open a store. Its slug is its
# place in addresses, and its page
# is everybody's at once.
mutation OpenStore($input: CreateStoreInput!) {
  createStore(input: $input) {
    store { id slug name isPublic connectStatus }
    errors { code message path }
  }
}
`,
    variables: json({
      input: {
        slug: `night-market-${random}`,
        name: "Night Market",
        description: "Small tools for places that open after dark.",
        theme: { accent: "#f2a65a" },
        idempotencyKey: `store-${random}`,
      },
    }),
  },
  {
    query: `# 3. Make something to sell: a
# draft, which you alone see. The
# store's id is filled in for you.
mutation CreateProduct($input: CreateProductInput!) {
  createProduct(input: $input) {
    product { id name status licencesEnabled }
    errors { code message path }
  }
}
`,
    variables: json({
      input: {
        storeId: "<store id>",
        kind: "BOT",
        name: "Lamplighter",
        category: "bots",
        tags: ["discord"],
        licencesEnabled: true,
        maxActivations: 3,
        idempotencyKey: `product-${random}`,
      },
    }),
  },
  {
    query: `# 4. Show it to everybody. It has
# no price, so it is free.
mutation Publish($id: ID!) {
  publishProduct(input: { id: $id }) {
    product { id status publishedAt }
    errors { code message path }
  }
}
`,
    variables: json({ id: "<product id>" }),
  },
  {
    query: `# 5. The page as buyers see it. By
# GET and without a token a proxy
# may keep the answer. There is a
# demo store: lantern-works.
query StorePage($slug: String!) {
  store(slug: $slug) {
    name
    description
    theme
    logoUrl(width: W320)
    products(first: 10) {
      nodes {
        id
        name
        kind
        rating
        downloadCount
        prices { provider amountCents currency }
      }
    }
  }
}
`,
    variables: json({ slug: `night-market-${random}` }),
  },
  {
    query: `# 6. Make licences by hand. Sales
# make theirs by themselves.
mutation CreateLicences($input: CreateLicencesInput!) {
  createLicences(input: $input) {
    licences { id key }
    errors { code message path }
  }
}
`,
    variables: json({
      input: {
        productId: "<product id>",
        count: 3,
        durationDays: 30,
        idempotencyKey: `licences-${random}`,
      },
    }),
  },
  {
    query: `# 7. Redeem one, once, for an id at
# Discord or Roblox. The first key
# is filled in for you.
mutation Redeem($input: RedeemLicenceInput!) {
  redeemLicence(input: $input) {
    licence { status discordId redeemedAt expiresAt }
    errors { code message path }
  }
}
`,
    variables: json({ input: { key: "<licence key>", discordId: "112233445566778899" } }),
  },
  {
    query: `# 8. What a game's server or a bot
# asks. Each machine is counted,
# and a ban holds within a second.
mutation Verify($input: VerifyLicenceInput!) {
  verifyLicence(input: $input) {
    valid
    status
    activations
    maxActivations
    expiresAt
    errors { code message path }
  }
}
`,
    variables: json({
      input: { key: "<licence key>", productId: "<product id>", machineId: "server-1" },
    }),
  },
  {
    query: `# 9. A key for scripts that speak
# plain REST: see /v1/openapi.json.
# It is shown once.
mutation CreateDeveloperKey($input: CreateDeveloperKeyInput!) {
  createDeveloperKey(input: $input) {
    secret
    developerKey { id name preview }
    errors { code message path }
  }
}
`,
    variables: json({ input: { name: `Key ${random}`, idempotencyKey: `key-${random}` } }),
  },
  {
    query: `# 10. A developer's tier, what it
# allows, and what is used of it.
query Developer {
  developer {
    tier
    limits { requestsPerMinute whitelistEntries obfuscations }
    usage { products keys whitelistEntries obfuscations }
    obfuscation { allowance used credits resetsAt }
  }
  developerTiers { id planId obfuscationPeriod }
}
`,
  },
  {
    query: `# 11. Licences as they change. Run
# Redeem in another window, or
# with curl.
subscription WatchLicences {
  licencesChanged {
    cursor
    licence { id status discordId activationCount }
  }
}
`,
  },
];
