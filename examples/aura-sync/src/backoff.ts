// Pauses between attempts: 1 s, doubling to 10 s, each up to 30 % shorter or longer.

export interface Backoff {
  attempts: number;
  firstMilliseconds: number;
  mostMilliseconds: number;
  /** A number from 0 up to 1, as `Math.random`. */
  random: () => number;
}

export const USUAL_BACKOFF: Backoff = {
  attempts: 3,
  firstMilliseconds: 1_000,
  mostMilliseconds: 10_000,
  random: Math.random,
};

/** How long to wait after so many failed attempts. */
export function pauseAfter(failures: number, backoff: Backoff): number {
  const { firstMilliseconds, mostMilliseconds, random } = backoff;
  const pause = Math.min(firstMilliseconds * 2 ** (failures - 1), mostMilliseconds);
  return pause * (0.7 + 0.6 * random());
}

/** Waits; ends early, without an error, when `signal` is aborted. */
export function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
  });
}
