// Ids that earlier responses brought, written into the examples' variables where they are needed.
const PLACEHOLDERS = {
  upload: "<upload id>",
  generation: "<generation id>",
  surveyRun: "<survey run id>",
  playSession: "<play session id>",
};

type Name = keyof typeof PLACEHOLDERS;

const seen: Record<Name, string[]> = { upload: [], generation: [], surveyRun: [], playSession: [] };
// Of the newest play session, which the next move of it names.
let version: number | undefined;
const listeners: Partial<Record<Name, (id: string) => void>> = {};

/** Calls `listener` with each new id of that kind. */
export function whenSeen(name: Name, listener: (id: string) => void): void {
  listeners[name] = listener;
}

export function noteIdentifiers(data: Record<string, any> | null | undefined): void {
  for (const payload of Object.values(data ?? {})) {
    for (const name of Object.keys(seen) as Name[]) {
      const id = payload?.[name]?.id;
      if (typeof id !== "string") continue;
      seen[name].push(id);
      if (name === "playSession") version = payload[name].version ?? version;
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
  return (Object.keys(seen) as Name[]).reduce((filled, name) => {
    const latest = seen[name].at(-1);
    if (!latest) return filled;
    const known = [PLACEHOLDERS[name], ...seen[name]];
    return known.reduce((result, old) => result.replaceAll(`"${old}"`, `"${latest}"`), filled);
  }, text);
}
