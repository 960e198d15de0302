// Calls, one below the other.

import { Link } from "react-router";
import type { RunRowFragment } from "../gql/graphql";
import { duration, moment } from "../shared/format";
import { Status } from "../shared/Status";

export function RunList({ runs }: { runs: readonly RunRowFragment[] }) {
  return (
    <ul className="card list">
      {runs.map(({ id, phoneNumber, status, durationSeconds, createdAt }) => (
        <li key={id}>
          <div className="grow">
            <Link to={`/runs/${id}`}><strong>{phoneNumber}</strong></Link>
            <div className="quiet">{moment(createdAt)}</div>
          </div>
          {durationSeconds > 0 && <span className="quiet">{duration(durationSeconds)}</span>}
          <Status value={status} />
        </li>
      ))}
    </ul>
  );
}
