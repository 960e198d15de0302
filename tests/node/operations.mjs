// What the clients under test have in common: their documents, and a fetch that remembers requests.

const PROFILE = "id name createdAt";
const ERRORS = "errors { __typename code message path }";

export const VIEWER = "query Viewer { viewer { id isAnonymous credits { id balance held available } } }";
export const PAGE = `query Page($first: Int!, $after: Cursor) {
  viewer { id profiles(first: $first, after: $after) {
    edges { cursor node { ${PROFILE} } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  } }
}`;
export const CREATE = `mutation Create($input: CreateProfileInput!) {
  createProfile(input: $input) { profile { ${PROFILE} } ${ERRORS} }
}`;
export const RENAME = `mutation Rename($input: UpdateProfileInput!) {
  updateProfile(input: $input) { profile { ${PROFILE} } ${ERRORS} }
}`;
export const DELETE = `mutation Delete($id: ID!) {
  deleteProfile(input: { id: $id }) { deletedId ${ERRORS} }
}`;
export const SPEND = `mutation Spend($key: String!) {
  spendCredits(input: { amount: 2, idempotencyKey: $key }) {
    transaction { id } viewer { id credits { id balance held available } } ${ERRORS}
  }
}`;
export const WALLET = `subscription Wallet {
  creditsChanged { cursor credits { id balance held available } }
}`;
export const NO_OBJECT = { analysis: [] };

/** Prints one step's facts as a line of JSON, for the test to judge. */
export function say(step, facts) {
  console.log(JSON.stringify({ step, ...facts }));
}

/** The names on a page of profiles, in their order. */
export function namesOf(data) {
  return data.viewer.profiles.edges.map(({ node }) => node.name);
}

/** A fetch with the list of what was sent through it. */
export function recordingFetch() {
  const requests = [];
  const recorded = async (url, options) => {
    const sent = options.body
      ? JSON.parse(options.body)
      : Object.fromEntries(new URL(url).searchParams);
    const response = await fetch(url, options);
    const hasText = sent.query !== undefined;
    requests.push({ method: options.method, hasText, status: response.status });
    return response;
  };
  return [recorded, requests];
}
