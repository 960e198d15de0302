"""The GraphQL documents by which the API of developers does what it is asked."""

_ERRORS = "errors { code message path }"
_PRODUCT = "id name robloxGroupId description proofPhrase provenAt createdAt"
_ENTRY = "id productId robloxId discordId expiresAt createdAt"
_KEY = "id name preview createdAt lastUsedAt"

PRODUCTS = f"{{ developer {{ products(first: 100) {{ nodes {{ {_PRODUCT} }} totalCount }} }} }}"
PRODUCT = f"query($id: ID!) {{ developerProduct(id: $id) {{ {_PRODUCT} }} }}"
CREATE_PRODUCT = f"""mutation($name: String!, $group: String!, $description: String) {{
  answer: createDeveloperProduct(
    input: {{name: $name, robloxGroupId: $group, description: $description}}
  ) {{ developerProduct {{ {_PRODUCT} }} {_ERRORS} }} }}"""
PROVE_PRODUCT = f"""mutation($id: ID!) {{
  answer: proveDeveloperProduct(input: {{id: $id}}) {{
    developerProduct {{ {_PRODUCT} }} {_ERRORS} }} }}"""
DELETE_PRODUCT = f"""mutation($id: ID!) {{
  answer: deleteDeveloperProduct(input: {{id: $id}}) {{ deletedId {_ERRORS} }} }}"""
SET_ENTRY = f"""mutation($product: ID!, $roblox: String!, $discord: String, $until: DateTime!) {{
  answer: setWhitelistEntry(input: {{
    productId: $product, robloxId: $roblox, discordId: $discord, expiresAt: $until
  }}) {{ entry {{ {_ENTRY} }} {_ERRORS} }} }}"""
REMOVE_ENTRIES = f"""mutation($ids: [ID!]!) {{
  answer: removeWhitelistEntries(input: {{ids: $ids}}) {{ removedIds failedIds {_ERRORS} }} }}"""
KEYS = f"{{ developer {{ keys(first: 100) {{ nodes {{ {_KEY} }} }} }} }}"
CREATE_KEY = f"""mutation($name: String!, $key: String) {{
  answer: createDeveloperKey(input: {{name: $name, idempotencyKey: $key}}) {{
    secret developerKey {{ {_KEY} }} {_ERRORS} }} }}"""
REVOKE_KEY = f"""mutation($id: ID!) {{
  answer: revokeDeveloperKey(input: {{id: $id}}) {{ developerKey {{ id }} {_ERRORS} }} }}"""
RECORD_OBFUSCATION = f"""mutation($key: String!) {{
  answer: recordObfuscation(input: {{idempotencyKey: $key}}) {{
    obfuscationUse {{ id source createdAt }} {_ERRORS} }} }}"""
STANDING = """{ developer {
  tier limits { requestsPerMinute whitelistEntries obfuscations }
  usage { products keys whitelistEntries obfuscations }
  obfuscation { allowance used credits periodStartsAt resetsAt }
} viewer { renewedSubscription { status planId currentPeriodEnd cancelAtPeriodEnd } }
  developerTiers { id planId obfuscationPeriod } plans { id price { amountCents currency } } }"""
USAGE = """query($first: Int!) { developer {
  products(first: 100) { nodes { id name robloxGroupId entryCount } }
  requests(first: $first) { nodes { requestId method endpoint statusCode createdAt } } } }"""
CREDIT_PRODUCTS = """{ products { id credits prices { provider amountCents currency } }
  developerTiers { planId } plans { id price { amountCents currency } } }"""
CHECKOUT = f"""mutation($product: ID!, $provider: String!, $key: String!) {{
  answer: createCheckout(input: {{
    productId: $product, provider: $provider, idempotencyKey: $key
  }}) {{ url {_ERRORS} }} }}"""
SUBSCRIBE = f"""mutation($plan: ID!, $key: String!) {{
  answer: createSubscription(input: {{planId: $plan, idempotencyKey: $key}}) {{
    checkoutUrl {_ERRORS} }} }}"""
CANCEL = f"""mutation {{
  answer: cancelSubscription(input: {{immediately: true}}) {{ {_ERRORS} }} }}"""
