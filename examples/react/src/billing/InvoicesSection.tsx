// The invoices, newest first.

import { day, money } from "../shared/format";
import { Empty } from "../shared/Page";
import { Status } from "../shared/Status";
import type { Bill } from "./BillingPage";

export function InvoicesSection({ bill: { invoices } }: { bill: Bill }) {
  return (
    <section aria-labelledby="invoices-heading">
      <h2 id="invoices-heading">Invoices</h2>
      {invoices.nodes.length === 0 && <Empty>No invoice yet.</Empty>}
      {invoices.nodes.length > 0 && (
        <ul className="card list">
          {invoices.nodes.map(({ id, number, status, totalCents, currency, createdAt, pageUrl, documentUrl }) => (
            <li key={id}>
              <div className="grow">
                <strong>{money(totalCents, currency)}</strong>
                <div className="quiet">{day(createdAt)}{number && `, ${number}`}</div>
              </div>
              <Status value={status} />
              {status === "OPEN" && pageUrl && <a href={pageUrl}>Pay</a>}
              {documentUrl && <a href={documentUrl}>PDF</a>}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
