// Ids that earlier responses brought, written into the examples' variables where they are needed.
type Payload = Record<string, any>;

const idOf = (name: string) => (payload: Payload) => payload[name]?.id;

// What stands in the examples, and where a payload has what goes there.
const PLACEHOLDERS = {
  upload: { text: "<upload id>", of: idOf("upload") },
  generation: { text: "<generation id>", of: idOf("generation") },
  surveyRun: { text: "<survey run id>", of: idOf("surveyRun") },
  playSession: { text: "<play session id>", of: idOf("playSession") },
  store: { text: "<store id>", of: idOf("store") },
  product: { text: "<product id>", of: idOf("product") },
  licenceKey: { text: "<licence key>", of: (payload: Payload) => payload.licences?.[0]?.key },
  organization: { text: "<organization id>", of: idOf("organization") },
  workflow: { text: "<workflow id>", of: idOf("workflow") },
  run: { text: "<run id>", of: idOf("run") },
};

type Name = keyof typeof PLACEHOLDERS;

const NAMES = Object.keys(PLACEHOLDERS) as Name[];
const seen = Object.fromEntries(NAMES.map((name) => [name, []])) as unknown as Record<Name, string[]>;
// Of the newest play session, which the next move of it names.
let version: number | undefined;
const listeners: Partial<Record<Name, (id: string) => void>> = {};

/** Calls `listener` with each new id of that kind. */
export function whenSeen(name: Name, listener: (id: string) => void): void {
  listeners[name] = listener;
}

export function noteIdentifiers(data: Payload | null | undefined): void {
  for (const payload of Object.values(data ?? {})) {
    if (payload === null || typeof payload !== "object") continue;
    for (const name of NAMES) {
      const id = PLACEHOLDERS[name].of(payload);
      if (typeof id !== "string") continue;
      seen[name].push(id);
      if (name === "playSession") version = payload.playSession.version ?? version;
      listeners[name]?.(id);
    }
  }
}

export function latestUpload(): string | undefined {
  return seen.upload.at(-1);
}

/** The text with placeholders, and what was filled in earlier, replaced by the newest. */
export function fillPlaceholders(text: string): string {
  const filled = fillIdentifiers(text);
  const isMove = seen.playSession.some((id) => filled.includes(`"${id}"`));
  return isMove && version ? filled.replace(/"version": \d+/, `"version": ${version}`) : filled;
}

function fillIdentifiers(text: string): string {
  return NAMES.reduce((filled, name) => {
    const latest = seen[name].at(-1);
    if (!latest) return filled;
    const known = [PLACEHOLDERS[name].text, ...seen[name]];
    return known.reduce((result, old) => result.replaceAll(`"${old}"`, `"${latest}"`), filled);
  }, text);
}
