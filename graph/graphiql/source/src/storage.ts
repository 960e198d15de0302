// What the browser may keep: layout and theme. Headers, queries, variables and history, which can
// hold passwords and tokens, stay in this page's memory.
import { isNarrow } from "./layout";

const LASTING = /^graphiql:(theme|visiblePlugin|\w+Flex)$/;
// A narrow screen has a layout of its own, in which the guide would cover what it speaks of.
const WIDE = /^graphiql:(visiblePlugin|\w+Flex)$/;

function storageFor(key: string, memory: Storage): Storage {
  const lasting = LASTING.test(key) && !(isNarrow() && WIDE.test(key));
  return lasting ? localStorage : memory;
}

class MemoryStorage implements Storage {
  private readonly items = new Map<string, string>();

  get length(): number {
    return this.items.size;
  }
  key(index: number): string | null {
    return [...this.items.keys()][index] ?? null;
  }
  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
  removeItem(key: string): void {
    this.items.delete(key);
  }
  clear(): void {
    this.items.clear();
  }
}

const memory = new MemoryStorage();

export const storage = {
  get length() {
    return memory.length;
  },
  getItem: (key: string) => storageFor(key, memory).getItem(key),
  setItem: (key: string, value: string) => storageFor(key, memory).setItem(key, value),
  removeItem: (key: string) => storageFor(key, memory).removeItem(key),
  clear: () => memory.clear(),
};
