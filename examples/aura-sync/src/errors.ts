// What can go wrong, by what is to be done about it.

/** The server refused: by a stable code of docs/errors.md. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly path: readonly string[] = [],
  ) {
    super(`${code}: ${message}`);
    this.name = "ApiError";
  }
}

/** The server did not answer, or cannot now: the same request may be sent again. */
export class AwayError extends Error {
  constructor(
    message: string,
    /** How long the server asks to wait; undefined when it says nothing. */
    readonly waitMilliseconds?: number,
  ) {
    super(message);
    this.name = "AwayError";
  }
}

/** Nobody is signed in any more: the app shows its sign-in. */
export class SignedOutError extends Error {
  constructor() {
    super("The session has ended. Sign in again.");
    this.name = "SignedOutError";
  }
}

const PASSING = new Set(["SERVICE_UNAVAILABLE", "RATE_LIMITED"]);

/** Whether a code says that the same request may succeed a little later. */
export function isPassing(code: string): boolean {
  return PASSING.has(code);
}
