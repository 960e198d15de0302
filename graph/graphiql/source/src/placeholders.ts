// Ids that earlier responses brought, written into the examples' variables where they are needed.
const PLACEHOLDERS = { upload: "<upload id>", generation: "<generation id>" };

type Name = keyof typeof PLACEHOLDERS;

const seen: Record<Name, string[]> = { upload: [], generation: [] };
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
      listeners[name]?.(id);
    }
  }
}

export function latestUpload(): string | undefined {
  return seen.upload.at(-1);
}

/** The text with placeholders, and ids filled in earlier, replaced by the newest ids. */
export function fillPlaceholders(text: string): string {
  return (Object.keys(seen) as Name[]).reduce((filled, name) => {
    const latest = seen[name].at(-1);
    if (!latest) return filled;
    const known = [PLACEHOLDERS[name], ...seen[name]];
    return known.reduce((result, old) => result.replaceAll(`"${old}"`, `"${latest}"`), filled);
  }, text);
}
