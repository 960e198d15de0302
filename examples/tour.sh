#!/bin/sh
# The README's tour as a script: start script/server, then run this in the repository's folder.
# For a server elsewhere: TALLYGRAPH=http://127.0.0.1:8123 examples/tour.sh
# `gql` sends a GraphQL document; `pick` takes one value out of the answer.
set -eu

export TALLYGRAPH="${TALLYGRAPH:-http://127.0.0.1:8000}" TOKEN=

gql() {
  python3 -c 'import json, sys; print(json.dumps({"query": sys.argv[1]}))' "$1" |
    curl -sS "$TALLYGRAPH/graphql" -H 'Content-Type: application/json' \
      -H "${TOKEN:+Authorization: Bearer $TOKEN}" -d @-
  echo
}
pick() {
  python3 -c 'import json, sys
value = json.loads(sys.argv[2])
for step in sys.argv[1].split("."):
    value = value[int(step) if step.isdigit() else step] if value else sys.exit(sys.argv[2])
print(value)' "$@"
}

answer=$(gql "mutation {
  signUp(input: {email: \"ada-$(date +%s)@example.com\", password: \"correct horse\"}) {
    session { accessToken user { id email } }
    bonusCredits
    errors { code message }
  }
}")
TOKEN=$(pick data.signUp.session.accessToken "$answer")
bonus=$(pick data.signUp.bonusCredits "$answer")
[ "$bonus" != 0 ] || {
  echo "The new account has no credits: this address has had the bonuses of an hour." >&2
  echo "Come back in an hour, or start the server with SIGN_UP_BONUSES_PER_HOUR=1000." >&2
  false
}
gql '{ viewer { email credits { balance held available } } }'

photo=examples/portrait.jpg
answer=$(gql "mutation {
  createUpload(input: {contentType: \"image/jpeg\", sizeBytes: $(wc -c < $photo)}) {
    upload { id url }
    errors { code message }
  }
}")
upload=$(pick data.createUpload.upload.id "$answer")
curl -sS -w '\n' -T "$photo" -H 'Content-Type: image/jpeg' \
  "$(pick data.createUpload.upload.url "$answer")"

.venv/bin/python examples/watch.py \
  'subscription { creditsChanged { credits { balance held available } } }' "\"balance\": $((bonus - 1))" &
sleep 1
answer=$(gql "mutation {
  createGeneration(input: {
    toolId: \"hair-color\", uploadId: \"$upload\",
    parameters: {color: \"#b8860b\"}, idempotencyKey: \"tour-1\"
  }) {
    generation { id status }
    errors { code message }
  }
}")
generation=$(pick data.createGeneration.generation.id "$answer")
.venv/bin/python examples/watch.py \
  "subscription { generationUpdated(id: \"$generation\") { generation { status imageUrl } } }" SUCCEEDED
wait

answer=$(gql '{ viewer {
  generations(first: 5) { nodes { status tool { id } creditsCharged madeOffline imageUrl } }
  creditTransactions(first: 5) { nodes { type amount heldChange balanceAfter } }
} }')
printf '%s\n' "$answer"
curl -sS -o /tmp/blond.jpg "$(pick data.viewer.generations.nodes.0.imageUrl "$answer")"

answer=$(gql 'mutation {
  createCheckout(input: {productId: "credits-50", provider: "sandbox", idempotencyKey: "tour-3"}) {
    order { id status }
    url
    errors { code message }
  }
}')
order=$(pick data.createCheckout.order.id "$answer")
curl -sS -o /dev/null -X POST "$(pick data.createCheckout.url "$answer")/pay"
.venv/bin/python examples/watch.py \
  "subscription { orderUpdated(id: \"$order\") { order { status credits } } }" PAID
gql '{ viewer { credits { balance } payments(first: 1) { nodes { provider amountCents currency status } } } }'

answer=$(gql 'mutation {
  createOrganization(input: {name: "Acme", idempotencyKey: "tour-2"}) {
    organization { id }
    errors { code message }
  }
}')
organization=$(pick data.createOrganization.organization.id "$answer")
gql "mutation {
  inviteMember(input: {organizationId: \"$organization\", email: \"grace@example.com\", role: MEMBER}) {
    invitation { email role status expiresAt token }
    errors { code message }
  }
}"
