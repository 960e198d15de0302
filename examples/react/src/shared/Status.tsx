// States as small labels, and amounts as bars.

const TONES: Record<string, string> = {
  ACTIVE: "good", COMPLETED: "good", PAID: "good", PROCESSED: "good", TRIALING: "good",
  RUNNING: "busy", SYNCING: "busy", QUEUED: "busy", DIALLING: "busy", RINGING: "busy", IN_PROGRESS: "busy", PENDING: "busy",
  FAILED: "bad", PAST_DUE: "bad", UNPAID: "bad", UNCOLLECTIBLE: "bad", INCOMPLETE: "bad",
};

export function Status({ value, isLive }: { value: string; isLive?: boolean }) {
  return (
    <span className={`status ${TONES[value] ?? "plain"}`} {...(isLive && { role: "status" })}>
      {words(value)}
    </span>
  );
}

/** `NO_ANSWER` as people say it. */
export function words(value: string): string {
  const lower = value.toLowerCase().replaceAll("_", " ");
  return lower.charAt(0).toUpperCase() + lower.slice(1);
}

type MeterProps = {
  label: string;
  used: number;
  limit: number;
  note?: string;
  /** Whether to have all of it is what is wanted, rather than the end of it. */
  isGoal?: boolean;
};

/** How much of a limit is used; a limit of -1 is none. */
export function Meter({ label, used, limit, note, isGoal }: MeterProps) {
  const isUnlimited = limit < 0;
  const share = isUnlimited ? 0 : limit === 0 ? Number(!isGoal) : Math.min(1, used / limit);
  const spoken = isUnlimited ? `${used}, without a limit` : `${used} of ${limit}`;
  return (
    <div className="meter">
      <div className="meter-label">
        <span>{label}</span>
        <span>{isUnlimited ? `${used} · no limit` : `${used} of ${limit}`}</span>
      </div>
      <div
        className="bar"
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={isUnlimited ? Math.max(1, used) : Math.max(1, limit)}
        aria-valuenow={used}
        aria-valuetext={spoken}
      >
        <div className={share >= 1 && !isGoal ? "full" : undefined} style={{ width: `${share * 100}%` }} />
      </div>
      {note && <p className="hint">{note}</p>}
    </div>
  );
}
