// What can go wrong, by what is to be done about it.

/** The server refused: by a stable code of docs/errors.md. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    /** What is wrong, for people. */
    readonly reason: string,
    readonly path: readonly string[] = [],
  ) {
    super(`${code}: ${reason}`);
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

const LASTING = new Set(["BAD_USER_INPUT", "LIMIT_EXCEEDED", "QUERY_TOO_COMPLEX"]);

/** Whether the same request will be refused again, because of what is in it. */
export function isLasting(error: unknown): error is ApiError {
  return error instanceof ApiError && LASTING.has(error.code);
}
