"""An e-mail address is one, however it is spelled, and none that passes for another's is taken."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st

from db.accounts.emails import EMAIL_MAX_BYTES, check_new_email, could_be_email, email_key
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.migrations.migrate import alembic_config
from settings import Settings

from .rows import migrated_database

ONE_ADDRESS = [
    (
        "v@münchen.example",
        "v@xn--mnchen-3ya.example",
        "V@MÜNCHEN.example",
        "v@mu\u0308nchen.example",
    ),
    ("İpek@a.example", "I\u0307pek@a.example", "i\u0307PEK@a.example"),
    ("ana@例え.example", "ana@例え。example", "ANA@xn--r8jz45g.EXAMPLE"),
    ("straße@a.example", "STRASSE@a.example", "strasse@a.example"),
    ("Γιώργος@a.example", "ΓΙΏΡΓΟΣ@a.example", "γιω\u0301ργοσ@a.example"),
    ("josé@a.example", "JOSE\u0301@a.example", "  Jose\u0301@A.Example\n"),
    ("o'neil+tag@mail.example.co.uk", "O'Neil+TAG@MAIL.example.co.uk"),
    ("a" * 64 + "@a.example", "A" * 64 + "@a.example"),
]
NO_ADDRESS = "This is not an e-mail address; write one like name@example.com."
UNSEEN = "The e-mail address has a character that cannot be seen; type it by hand."
LOOKALIKE = "The e-mail address has letters that look like others; type it in one alphabet."
DOT = "The part before the @ has a dot too many."
DOMAIN = "The part after the @ is not a domain; look at its dots and hyphens, as in example.com."
REFUSED = {
    NO_ADDRESS: [
        *("", " ", "ana", "ana@", "@a.example", "ana@@a.example", "ana@b@a.example"),
        *("ana bo@a.example", '"ana"@a.example', "ana(x)@a.example", "<ana@a.example>"),
        *("ana\0@a.example", "ana\ud800@a.example", "a" * 65 + "@a.example"),
        "a@" + "b" * 250 + ".com",
    ],
    UNSEEN: [
        *(
            "ana\u200b@a.example",
            "ana@a\u200d.example",
            "ana\u202e@a.example",
            "\u2066ana@a.example",
        ),
        *(
            "ana@exa\u00admple.com",
            "a\u034fna@a.example",
            "ana\u3164@a.example",
            "ana\ufe0f@a.example",
        ),
        *("ana\r\nBcc: x@a.example", "ana\u00a0@a.example", "ana\U000e0041@a.example"),
    ],
    LOOKALIKE: [
        *("аna@a.example", "ana@gооgle.com", "рауpal@a.example", "аррӏе@a.example"),
        *("ana@аррӏе.com", "ana@xn--80ak6aa92e.com", "αna@a.example", "ν@a.example"),
        *("ａｎａ@a.example", "ﬁn@a.example", "𝐚na@a.example", "ana@googlе.com"),
    ],
    DOT: [".ana@a.example", "ana.@a.example", "a..na@a.example"],
    DOMAIN: [
        *("ana@localhost", "ana@.com", "ana@a..example", "ana@a.example.", "ana@a.-b.example"),
        *("ana@a-.example", "ana@-a.example", "ana@ab--c.example", "ana@a_b.example"),
        *("ana@exam ple.com", "ana@1.2.3.4", "ana@[1.2.3.4]", "ana@☃.example", "ana@xn--a.example"),
        *("ana@" + "b" * 64 + ".example", "ana@a.b!c"),
    ],
}
TAKEN = [
    *("ana@a.example", "用户@例子.公司", "иван@пример.рф", "иван.о@пример.рф", "рос@почта.рф"),
    *("иван+о@mail.example", "山田たろう@例え.jp", "日本ー@例.jp", "Jürgen-Straße@a.example"),
    *(
        "김철수kim@a.example",
        "दीपक@a.example",
        "محمد@a.example",
        "-ana_@a.example",
        "Ana@a-b.example",
    ),
]


@pytest.mark.parametrize("spellings", ONE_ADDRESS)
def test_spellings_of_one_address_have_one_key(spellings: tuple[str, ...]) -> None:
    assert len({email_key(spelling) for spelling in spellings}) == 1
    for spelling in spellings:
        kept = check_new_email(spelling)
        assert (email_key(kept), kept.casefold()) == (email_key(spelling), kept.casefold().strip())


@pytest.mark.parametrize("typed", TAKEN)
def test_addresses_in_any_one_alphabet_are_taken_as_they_are_typed(typed: str) -> None:
    assert check_new_email(typed) == typed


@pytest.mark.parametrize(
    ("message", "typed"), [(message, one) for message, all in REFUSED.items() for one in all]
)
def test_what_is_no_address_or_looks_like_another_is_refused(message: str, typed: str) -> None:
    with pytest.raises(DomainError) as refused:
        check_new_email(typed)
    assert (refused.value.code, refused.value.path) == (
        ErrorCode.BAD_USER_INPUT,
        ("input", "email"),
    )
    assert refused.value.message == message


@given(st.text(alphabet=st.characters(categories=None), max_size=300))
def test_any_text_is_an_address_or_a_refusal(typed: str) -> None:
    assert email_key(email_key(typed)) == email_key(typed)
    try:
        kept = check_new_email(typed)
    except DomainError:
        return
    assert could_be_email(kept)
    assert check_new_email(kept) == kept
    assert len(kept.encode()) <= EMAIL_MAX_BYTES


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_equal_letters_make_equal_keys(local: str) -> None:
    key = email_key(f"x{local}x@a.example")
    for spelled in (local.upper(), local.lower(), local.casefold()):
        # Unicode has no way back from some capitals; what case folding calls equal, is equal.
        if spelled.casefold() == local.casefold():
            assert email_key(f"x{spelled}x@a.example") == key


async def test_accounts_that_turn_out_to_share_an_address_leave_it_to_the_oldest(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> None:
    typed = ["v@münchen.example", "V@xn--mnchen-3ya.example", "v@münchen。example", "Ana@a.example"]
    async with migrated_database(cluster, settings, "addresses") as owner_url:
        config = alembic_config(owner_url)
        await asyncio.to_thread(command.downgrade, config, "0090")
        owner = await asyncpg.connect(owner_url)
        for age, email in enumerate(typed):
            await owner.execute(
                "insert into users (email, created_at) values ($1, now() + $2 * interval '1 day')",
                email,
                age,
            )
        await owner.execute("insert into users (is_anonymous) values (true)")
        await asyncio.to_thread(command.upgrade, config, "head")
        rows = await owner.fetch("select email, email_key from users order by created_at")
        noted = await owner.fetch("select detail ->> 'older_account' as id from audit_log")
        oldest = await owner.fetchval("select id from users where email = $1", typed[0])
        await owner.close()
    keys = {row["email"]: row["email_key"] for row in rows}
    assert keys == {
        None: None,
        typed[0]: email_key(typed[0]),
        typed[1]: None,
        typed[2]: None,
        typed[3]: "ana@a.example",
    }
    assert [row["id"] for row in noted] == [str(oldest)] * 2
