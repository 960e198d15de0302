"""Accounts are found by the key that all spellings of an e-mail address have in common.

Of accounts whose addresses turn out to be one, the oldest keeps it: who signs in with it, however
it is spelled, is that account. The others keep their rows, sessions and wallets and are found by no
address; `audit_log` names each, with the older account, under `email_shared_with_older_account`.
"""

from __future__ import annotations

import unicodedata

import idna
import sqlalchemy as sa
from alembic import op

from db.migrations.steps import run_all

revision = "0100"
down_revision = "0090"
branch_labels = None
depends_on = None

# Of ASCII, the key is the address in lower case.
SET_ASCII_KEYS = r"update users set email_key = lower(email) where email ~ '^[\x20-\x7e]*$'"
OTHER_ADDRESSES = r"select id, email from users where email !~ '^[\x20-\x7e]*$'"
SET_KEY = "update users set email_key = :key where id = :id"
RELEASE_SHARED_KEYS = """
with ranked as (
    select id, first_value(id) over (partition by email_key order by created_at, id) as oldest_id
    from users where email_key is not null),
released as (
    update users u set email_key = null from ranked r where r.id = u.id and r.oldest_id <> u.id
    returning u.id, r.oldest_id)
insert into audit_log (user_id, action, detail)
select id, 'email_shared_with_older_account', jsonb_build_object('older_account', oldest_id)
from released
"""


def upgrade() -> None:
    op.add_column("users", sa.Column("email_key", sa.Text(), nullable=True))
    connection = op.get_bind()
    connection.execute(sa.text(SET_ASCII_KEYS))
    for user_id, email in connection.execute(sa.text(OTHER_ADDRESSES)).all():
        connection.execute(sa.text(SET_KEY), {"id": user_id, "key": _key(email)})
    connection.execute(sa.text(RELEASE_SHARED_KEYS))
    op.create_index("uq_users_email_key", "users", ["email_key"], unique=True)
    op.drop_index("uq_users_lower_email", table_name="users")
    op.create_check_constraint("key_of_email", "users", "email is not null or email_key is null")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_users_key_of_email"), "users")
    op.create_index(
        "uq_users_lower_email", "users", [sa.literal_column("lower(email)")], unique=True
    )
    op.drop_column("users", "email_key")
    run_all(["delete from audit_log where action = 'email_shared_with_older_account'"])


def _key(email: str) -> str:
    """As `email_key()` in `db/accounts/emails.py` makes it."""
    local, at, domain = unicodedata.normalize("NFC", email.strip()).rpartition("@")
    try:
        name = idna.encode(domain, uts46=True, std3_rules=True).decode()
    except UnicodeError:
        name = _without_case(domain)
    return f"{_without_case(local)}{at}{name}"


def _without_case(text: str) -> str:
    folded = text
    while True:
        decomposed = unicodedata.normalize("NFD", folded)
        again = unicodedata.normalize("NFC", decomposed.casefold())
        if again == folded:
            return folded
        folded = again
