"""What provokes each error of referrals, for the tests of all errors; and a code to redeem."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg


async def code_of_somebody(owner: asyncpg.Connection) -> str:
    """The code of a new member."""
    code: str = await owner.fetchval(
        "insert into users (email, email_key) select e, e from (select gen_random_uuid() || '@e.test')"
        " as made (e) returning referral_code"
    )
    return code


async def redeemed_code(owner: asyncpg.Connection, user_id: UUID) -> str:
    """The code that a user came by."""
    code = await code_of_somebody(owner)
    await owner.execute(
        "insert into referrals (referrer_id, referee_id, is_near)"
        " select id, $2, true from users where referral_code = $1",
        code,
        user_id,
    )
    return code


async def own_code(stage: Any) -> str:
    code = await stage.owner.fetchval(
        "select referral_code from users where id = $1", stage.actor.user_id
    )
    return f'{{code: "{code}"}}'


async def second_code(stage: Any) -> str:
    first = await code_of_somebody(stage.owner)
    assert await stage.codes("redeemReferralCode", f'{{code: "{first}"}}') == []
    return f'{{code: "{await code_of_somebody(stage.owner)}"}}'


PROVOKED: dict[str, dict[str, Any]] = {
    "redeemReferralCode": {
        "BAD_USER_INPUT": own_code,
        "NOT_FOUND": '{code: "no such code"}',
        "INVALID_STATE": second_code,
    }
}
