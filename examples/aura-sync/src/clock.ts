// A hybrid logical clock: later than all that this device wrote or heard of, and near the time of day.
// Source: Kulkarni et al., Logical Physical Clocks, 2014.

const LAST_COUNTER = 65_535;

/** A moment, written `milliseconds:counter`. */
export interface Moment {
  milliseconds: number;
  counter: number;
}

export function parseMoment(text: string): Moment {
  const [milliseconds, counter] = text.split(":").map(Number);
  return { milliseconds: milliseconds ?? 0, counter: counter ?? 0 };
}

export function formatMoment({ milliseconds, counter }: Moment): string {
  return `${milliseconds}:${counter}`;
}

/** The moment after `last`, now: what a device writes next. */
export function nextMoment(last: Moment, now: number): Moment {
  if (now > last.milliseconds) return { milliseconds: now, counter: 0 };
  return last.counter < LAST_COUNTER
    ? { milliseconds: last.milliseconds, counter: last.counter + 1 }
    : { milliseconds: last.milliseconds + 1, counter: 0 };
}

/** The later of two moments: a device goes on from the server's where that is ahead. */
export function laterMoment(one: Moment, other: Moment): Moment {
  const difference = one.milliseconds - other.milliseconds || one.counter - other.counter;
  return difference >= 0 ? one : other;
}
