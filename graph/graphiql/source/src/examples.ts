// The tabs a new visitor finds, in the order of the tour: of photos, or of what the server has loaded.
import { attunedExamples } from "./attuned";
import { vectabaseExamples } from "./vectabase";
import { voicefxExamples } from "./voicefx";

// Different at each visit, so that the tour can be taken again on the same server.
const random = Array.from(crypto.getRandomValues(new Uint8Array(3)), (byte) =>
  byte.toString(16).padStart(2, "0"),
).join("");

const json = (value: unknown) => JSON.stringify(value, null, 2);

const photoExamples = [
  {
    query: `# 1. Press ▶ to make an account.
# You are then signed in: the
# token goes into the Headers of
# every tab and stays in this
# page's memory. Then take the
# next tab.
mutation SignUp($input: SignUpInput!) {
  signUp(input: $input) {
    session {
      accessToken
      refreshToken
      expiresAt
      user {
        id
        email
        isAnonymous
      }
    }
    errors {
      code
      message
      path
    }
  }
}
`,
    variables: json({
      input: { email: `ada-${random}@example.com`, password: "correct horse battery" },
    }),
  },
  {
    query: `# 2. Who am I, and what do I have?
# A new account starts with bonus
# credits. Without a token, viewer
# is null.
query Viewer {
  viewer {
    id
    email
    credits {
      balance
      held
      available
    }
    generations(first: 5) {
      nodes {
        id
        status
        tool { id }
        imageUrl
        result
        creditsCharged
        fromCache
        madeOffline
        createdAt
      }
    }
    creditTransactions(first: 10) {
      nodes {
        amount
        balanceAfter
        type
        referenceId
        createdAt
      }
    }
  }
}
`,
  },
  {
    query: `# 3. What can be done with a
# photo, and which parameters each
# tool takes.
query Tools {
  tools {
    id
    nameKey
    type
    isActive
    sortOrder
    parametersSchema
  }
}
`,
  },
  {
    query: `# 4. Spend a credit. Run it twice:
# the same idempotencyKey is
# charged only once. Change it in
# Variables to spend again.
mutation SpendCredits($input: SpendCreditsInput!) {
  spendCredits(input: $input) {
    transaction {
      id
      amount
      balanceAfter
      type
    }
    credits {
      balance
      held
      available
    }
    errors {
      code
      message
      path
    }
  }
}
`,
    variables: json({
      input: {
        amount: 1,
        reason: "trying it out",
        referenceId: "order-1",
        idempotencyKey: `spend-${random}`,
      },
    }),
  },
  {
    query: `# 5. Ask where to send a photo,
# then PUT its bytes to that url
# with those headers. The Guide
# does both with a file of yours.
mutation CreateUpload($input: CreateUploadInput!) {
  createUpload(input: $input) {
    upload {
      id
      url
      method
      headers { name value }
      expiresAt
    }
    errors {
      code
      message
      path
    }
  }
}
`,
    variables: json({ input: { contentType: "image/jpeg", sizeBytes: 123456 } }),
  },
  {
    query: `# 6. Run a tool on the photo. The
# id of your last upload is filled
# in for you. The credit is held
# now, and charged when the result
# is there. Next: WatchGeneration.
mutation CreateGeneration($input: CreateGenerationInput!) {
  createGeneration(input: $input) {
    generation {
      id
      status
    }
    errors {
      code
      message
      path
    }
  }
}
`,
    variables: json({
      input: {
        toolId: "hair-color",
        uploadId: "<upload id>",
        parameters: { color: "#7a3cff" },
        idempotencyKey: `generation-${random}`,
      },
    }),
  },
  {
    query: `# 7. Press ▶: first the state now,
# then every change. Leaving this
# tab stops it, so spend from the
# Guide, or with curl.
subscription WatchCredits {
  creditsChanged {
    cursor
    credits {
      balance
      held
      available
    }
  }
}
`,
  },
  {
    query: `# 8. Follow one generation; the id
# of your last one is filled in
# for you. When it has SUCCEEDED,
# open its imageUrl.
subscription WatchGeneration($id: ID!) {
  generationUpdated(id: $id) {
    cursor
    generation {
      id
      status
      imageUrl
      result
      error { code message }
    }
  }
}
`,
    variables: json({ id: "<generation id>" }),
  },
  {
    query: `# 9. Notifications as they happen.
# The first is null: it brings the
# cursor from which a client
# resumes, with (after: …).
subscription WatchNotifications {
  notificationAdded {
    cursor
    notification {
      id
      type
      titleKey
      messageKey
      read
      createdAt
    }
  }
}
`,
  },
];

const FIRST = photoExamples[0];
const OTHERS: Record<string, (random: string) => { query: string; variables?: string }[]> = {
  attuned: attunedExamples,
  vectabase: vectabaseExamples,
  voicefx: voicefxExamples,
};

/** The tabs of a server, by the seed that it has loaded, and whether they are the tour of photos. */
export function examplesOf(seed: string | null) {
  const others = seed === null ? undefined : OTHERS[seed];
  return others
    ? { examples: [FIRST, ...others(random)], areOfPhotos: false }
    : { examples: photoExamples, areOfPhotos: true };
}
