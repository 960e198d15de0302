"""Tells the owner of an account by mail when somebody signs in from a device that is new to it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from db.accounts.devices import device_name
from db.core.pool import Transaction
from db.emails.operations import queue_email

# Sessions that are looked at for the same device. What is older is most likely purged.
SESSIONS_LOOKED_AT = 100

# Of accounts with an address, and of no more than ten in a day: who signs in from ever new devices
# has been told. An account without sessions is one that nobody used for weeks, unless it is new.
_SIGN_IN = text("""
    select u.email, s.user_agent, s.address,
        array(select o.user_agent from sessions o where o.user_id = s.user_id and o.id <> s.id
              order by o.created_at desc limit :looked_at) as known,
        u.created_at < now() - interval '1 hour' as is_settled
    from sessions s join users u on u.id = s.user_id
    where s.id = :session_id and u.email is not null and (
        select count(*) from emails e where e.user_id = s.user_id and e.template = 'new_sign_in'
        and e.created_at > now() - interval '1 day') < 10
""")


async def tell_new_device(transaction: Transaction, user_id: UUID, session_id: UUID) -> None:
    """Queues a mail about a session that was just opened, if its device is not known.

    A device is known by its name (`device_name()`): a new release of a browser is no new device.
    """
    row = await transaction.fetch_one(_SIGN_IN, session_id=session_id, looked_at=SESSIONS_LOOKED_AT)
    if row is None:
        return
    name, known = device_name(row["user_agent"]), {device_name(one) for one in row["known"]}
    if name in known or not (known or row["is_settled"]):
        return
    where = {"device": name, "address": row["address"]}
    await queue_email(
        transaction,
        template="new_sign_in",
        recipient=row["email"],
        user_id=user_id,
        parameters={part: value for part, value in where.items() if value},
    )
