"""Brings users of another service into the database, as its owner: in batches, each of them whole.

Whoever is there already stays as they are, so that an import that was interrupted is run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson

from db.accounts.operating import as_owner
from db.accounts.operations import GRANT_SIGN_UP_BONUS
from db.imports.rules import NewImport, Refused, decide_import

SOURCE = "supabase"
# A busy row ends the import, which is run again, rather than holding up who waits behind it.
_LOCK_TIMEOUT = "set lock_timeout = '10s'"
_USERS = """
insert into users (id, email, email_key, is_anonymous, display_name, locale,
    email_confirmed_at, created_at)
select r.id, r.email, r.email_key, r.is_anonymous, r.display_name, r.locale,
    r.email_confirmed_at, r.created_at
from jsonb_to_recordset($1::jsonb) as r (id uuid, email text, email_key text, is_anonymous boolean,
    display_name text, locale text, email_confirmed_at timestamptz, created_at timestamptz)
on conflict do nothing returning id
"""
# Of two who want one name, and where somebody has it, the name that was made up stays.
_USERNAMES = """
update users u set username = r.username
from (select distinct on (lower(w.username)) w.* from jsonb_to_recordset($1::jsonb) as w
      (id uuid, username text) where w.username is not null order by lower(w.username), w.id) r
where u.id = r.id and not exists (select from users t where t.username_key = lower(r.username))
"""
_IMPORTED = """
insert into imported_users (user_id, source, metadata)
select r.id, $2, r.metadata from jsonb_to_recordset($1::jsonb) as r (id uuid, metadata jsonb)
"""
_CREDENTIALS = """
insert into credentials (user_id, password_hash)
select r.id, r.password_hash from jsonb_to_recordset($1::jsonb) as r (id uuid, password_hash text)
where r.password_hash is not null
"""
_IDENTITIES = """
insert into user_identities (user_id, provider, subject, email, is_email_verified, name)
select r.user_id, r.provider, r.subject, r.email, r.is_email_verified, r.name
from jsonb_to_recordset($1::jsonb) as r (user_id uuid, provider text, subject text, email text,
    is_email_verified boolean, name text)
on conflict do nothing
"""
# Who chose another password there in the meantime has that one here, unless they have been here.
_LATER_PASSWORDS = """
update credentials c set password_hash = r.password_hash, updated_at = now()
from jsonb_to_recordset($1::jsonb) as r (id uuid, password_hash text), imported_users i
where c.user_id = r.id and i.user_id = r.id and c.password_hash like '$2%'
  and r.password_hash is not null and c.password_hash <> r.password_hash
returning c.user_id
"""
_LOCK = "update users set status = 'locked' where id = any($1::uuid[])"
_TERMS = f"select {GRANT_SIGN_UP_BONUS.name}(id, $2) from unnest($1::uuid[]) as new (id)"  # noqa: S608
_AUDIT = """
insert into audit_log (user_id, action, detail)
select id, 'imported', jsonb_build_object('source', $2::text, 'by', $3::text)
from unnest($1::uuid[]) as new (id)
"""
_THERE = """
select u.id, i.user_id is not null as is_imported
from users u left join imported_users i on i.user_id = u.id where u.id = any($1::uuid[])
"""


class DryRunDone(Exception):
    """Rolls a batch of a dry run back."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How users are brought: who does it, whether they get the bonus, whether it is only tried."""

    operator: str
    with_bonus: bool = False
    is_dry_run: bool = False


@dataclass(slots=True)
class ImportReport:
    """What became of the rows that were read."""

    read: int = 0
    imported: int = 0
    already_there: int = 0
    passwords_renewed: int = 0
    refused: list[Refused] = field(default_factory=list)

    @property
    def reasons(self) -> Counter[str]:
        """How many were refused for each reason."""
        return Counter(one.reason for one in self.refused)


# A row of `auth.users`, and its rows of `auth.identities`.
SourceRow = tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]
Progress = Callable[[ImportReport], None]


async def import_users(
    owner_url: str,
    batches: AsyncIterator[list[SourceRow]],
    options: ImportOptions,
    progress: Progress = lambda _: None,
) -> ImportReport:
    """Brings all of them; the report says what became of each."""
    report = ImportReport()
    async with as_owner(owner_url) as connection:
        importing = _Importing(connection, options, report)
        await connection.execute(_LOCK_TIMEOUT)
        async for batch in batches:
            await importing.take(batch)
            progress(report)
    return report


class _Importing:
    """One import over one connection."""

    def __init__(
        self, connection: asyncpg.Connection, options: ImportOptions, report: ImportReport
    ) -> None:
        self._connection = connection
        self._options = options
        self._report = report
        # A dry run rolls its batches back, so it remembers whose addresses it has seen.
        self._seen: dict[str, object] = {}

    async def take(self, batch: list[SourceRow]) -> None:
        """Brings a batch in a transaction of its own."""
        now = datetime.now(UTC)
        self._report.read += len(batch)
        wanted = []
        for row, identities in batch:
            decided = decide_import(row, identities, now)
            if isinstance(decided, Refused):
                self._report.refused.append(decided)
            elif decided.email_key and self._seen.get(decided.email_key, decided.id) != decided.id:
                self._refuse(decided, "the e-mail address is another row's, too")
            else:
                if decided.email_key:
                    self._seen[decided.email_key] = decided.id
                wanted.append(decided)
        try:
            async with self._connection.transaction():
                await self._write(wanted)
                if self._options.is_dry_run:
                    raise DryRunDone
        except DryRunDone:
            pass

    async def _write(self, wanted: list[NewImport]) -> None:
        connection, options = self._connection, self._options
        all_rows = _as_json(wanted)
        new_ids = {row["id"] for row in await connection.fetch(_USERS, all_rows)}
        new = [one for one in wanted if one.id in new_ids]
        rows, ids = _as_json(new), [one.id for one in new]
        await connection.execute(_USERNAMES, rows)
        await connection.execute(_IMPORTED, rows, SOURCE)
        await connection.execute(_CREDENTIALS, rows)
        await connection.execute(_IDENTITIES, _identities(new))
        await connection.execute(_TERMS, ids, options.with_bonus)
        await connection.execute(_LOCK, [one.id for one in new if one.is_locked])
        await connection.execute(_AUDIT, ids, SOURCE, options.operator)
        renewed = await connection.fetch(_LATER_PASSWORDS, all_rows)
        self._report.imported += len(new)
        self._report.passwords_renewed += len(renewed)
        await self._tell_others([one for one in wanted if one.id not in new_ids])

    async def _tell_others(self, others: list[NewImport]) -> None:
        rows = await self._connection.fetch(_THERE, [one.id for one in others])
        there = {row["id"]: row["is_imported"] for row in rows}
        for one in others:
            if there.get(one.id):
                self._report.already_there += 1
            elif one.id in there:
                self._refuse(one, "the id is an account's that was not imported")
            else:
                self._refuse(one, "the e-mail address is another account's")

    def _refuse(self, one: NewImport, reason: str) -> None:
        self._report.refused.append(Refused(str(one.id), reason))


def _identities(rows: Iterable[NewImport]) -> str:
    shown = [{"user_id": one.id, **asdict(each)} for one in rows for each in one.identities]
    return orjson.dumps(shown).decode()


def _as_json(rows: Iterable[NewImport]) -> str:
    shown = [{**asdict(one), "identities": None} for one in rows]
    return orjson.dumps(shown).decode()
