"""What is sealed opens in its own column and row only, with a key that is there; SQL sees ciphertext."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import MetaData, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.core.access import Access, Nobody, Owner, Watch
from db.core.base import Declarations, UuidKey
from db.core.row_ids import new_row_id
from db.core.sealed import BlindIndex, Sealed, blind_indexes
from db.factors.tables import TotpFactor
from db.leaving.archives import exported_tables
from db.push.tables import PushToken
from db.vault.rotating import Resealer, SealedTable
from db.vault.sealing import Vault
from settings import Settings, SettingsError
from vault_keys import SealBroken, master_key

FIRST, SECOND = "the first key of all that is long", "the second key that is as long"
SECRET = "JBSWY3DPEHPK3PXP"
ROW, OTHER_ROW = uuid4(), uuid4()


class Probes(Declarations, DeclarativeBase):
    """The tables of this file."""

    metadata = MetaData()


class Probe(Probes):
    """A row with a secret that is looked up."""

    __tablename__ = "probes"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID]
    sealed_key: Mapped[bytes] = mapped_column(Sealed())
    sealed_token: Mapped[bytes | None] = mapped_column(Sealed())
    key_index: Mapped[bytes] = mapped_column(BlindIndex("sealed_key"), unique=True)

    access = Access(read=Owner(), hidden=("key_index",))
    watch = Watch("probe.changed")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One master key in the environment."""
    monkeypatch.setenv("VAULT_MASTER_KEY", FIRST)
    return monkeypatch


def test_requirement_3_1_a_value_opens_where_it_was_sealed(given: pytest.MonkeyPatch) -> None:
    vault = Vault(Settings())
    sealed = vault.seal(Probe.sealed_key, ROW, SECRET)
    assert SECRET.encode() not in sealed
    assert vault.open(Probe.sealed_key, ROW, sealed) == SECRET
    assert vault.seal(Probe.sealed_key, ROW, SECRET) != sealed
    # A key for each column: what stands behind it can be opened with AES-256-GCM alone.
    cipher = vault.first.cipher("probes.sealed_key")
    assert isinstance(cipher, AESGCM)
    bound = b"\0".join((sealed[:9], b"probes.sealed_key", str(ROW).encode()))
    assert cipher.decrypt(sealed[9:21], sealed[21:], bound) == SECRET.encode()


@pytest.mark.parametrize("position", [0, 2, 6, 20, 30, -1])
def test_a_changed_or_moved_value_opens_nowhere(given: pytest.MonkeyPatch, position: int) -> None:
    vault = Vault(Settings())
    sealed = bytearray(vault.seal(Probe.sealed_key, ROW, SECRET))
    for column, row in ((Probe.sealed_key, OTHER_ROW), (Probe.sealed_token, ROW)):
        with pytest.raises(SealBroken):
            vault.open(column, row, bytes(sealed))
    sealed[position] ^= 1
    with pytest.raises(SealBroken):
        vault.open(Probe.sealed_key, ROW, bytes(sealed))
    with pytest.raises(SealBroken):
        vault.open(Probe.sealed_key, ROW, bytes(sealed[: position % 12]))


def test_requirement_3_3_keys_are_made_by_pbkdf2_in_no_fewer_than_100_000_rounds(
    given: pytest.MonkeyPatch,
) -> None:
    assert Settings.model_fields["vault_key_rounds"].default == 600_000
    with pytest.raises(ValueError, match="greater than or equal to 100000"):
        Settings(vault_key_rounds=99_999)
    vault = Vault(Settings())
    root = hashlib.pbkdf2_hmac("sha256", FIRST.encode(), b"tallygraph vault", 100_000, 32)
    assert vault.first._root == root
    # A value names its rounds, so raising them leaves what there is readable.
    sealed = vault.seal(Probe.sealed_key, ROW, SECRET)
    more = Vault(Settings(vault_key_rounds=100_001))
    assert more.open(Probe.sealed_key, ROW, sealed) == SECRET
    assert not more.is_current(sealed)


def test_requirement_3_5_keys_rotate(given: pytest.MonkeyPatch) -> None:
    old = Vault(Settings())
    sealed, index = old.seal(Probe.sealed_key, ROW, SECRET), old.blind(Probe.key_index, SECRET)
    assert old.is_current(sealed)
    assert old.blinds(Probe.key_index, SECRET) == [index]
    given.setenv("VAULT_MASTER_KEY", f"{SECOND}, {FIRST}")
    both = Vault(Settings())
    assert both.open(Probe.sealed_key, ROW, sealed) == SECRET
    assert not both.is_current(sealed)
    assert both.is_current(both.seal(Probe.sealed_key, ROW, SECRET))
    assert both.blinds(Probe.key_index, SECRET) == [both.blind(Probe.key_index, SECRET), index]
    given.setenv("VAULT_MASTER_KEY", SECOND)
    with pytest.raises(SealBroken):
        Vault(Settings()).open(Probe.sealed_key, ROW, sealed)


def test_many_rows_are_sealed_anew_at_once_but_for_those_that_do_not_open(
    given: pytest.MonkeyPatch,
) -> None:
    old = Vault(Settings())
    given.setenv("VAULT_MASTER_KEY", f"{SECOND},{FIRST}")
    both = Vault(Settings())
    rows: list[dict[str, Any]] = [
        {
            "id": (row := uuid4()),
            "sealed_key": old.seal(Probe.sealed_key, row, f"key {n}"),
            "sealed_token": both.seal(Probe.sealed_token, row, "token") if n % 2 else None,
        }
        for n in range(6)
    ]
    rows[1]["sealed_key"], rows[3]["sealed_token"] = rows[0]["sealed_key"], b"\x02"
    resealer = Resealer(SealedTable(cast("Table", Probe.__table__)), both)
    (ids, keys, tokens, new_keys, new_tokens, indexes), broken = resealer.sealed(rows)
    assert broken == 2
    assert ids == [rows[n]["id"] for n in (0, 2, 4, 5)]
    assert (keys, tokens) == tuple(
        [rows[n][name] for n in (0, 2, 4, 5)] for name in ("sealed_key", "sealed_token")
    )
    given.setenv("VAULT_MASTER_KEY", SECOND)
    new = Vault(Settings())
    for n, row, key, token, index in zip(
        (0, 2, 4, 5), ids, new_keys, new_tokens, indexes, strict=True
    ):
        assert new.open(Probe.sealed_key, row, key) == f"key {n}"
        assert index == new.blind(Probe.key_index, f"key {n}")
        assert token is None or new.open(Probe.sealed_token, row, token) == "token"
    assert [token is None for token in new_tokens] == [True, True, True, False]
    # No two values have the same nonce.
    assert len({one[9:21] for one in (*new_keys, *new_tokens[3:])}) == 5


def test_a_blind_index_is_the_same_for_equal_texts_of_one_column(given: pytest.MonkeyPatch) -> None:
    vault = Vault(Settings())
    index = vault.blind(Probe.key_index, SECRET)
    assert len(index) == 32
    assert vault.blind(Probe.sealed_key, SECRET) == index
    assert vault.blind(Probe.key_index, SECRET.lower()) != index
    assert vault.blind(Probe.sealed_token, SECRET) != index
    assert index not in vault.seal(Probe.sealed_key, ROW, SECRET)


def sealed_before(written: str, place: str, plain: str) -> bytes:
    """A value of the first format, as it was sealed before there was a vault."""
    key = HKDF(SHA256(), 32, salt=None, info=b"tallygraph sealing").derive(written.encode())
    head, nonce = b"\x01" + hashlib.sha256(key).digest()[:4], bytes(range(12))
    return head + nonce + AESGCM(key).encrypt(nonce, plain.encode(), head + place.encode())


def test_what_was_sealed_before_the_vault_opens_and_is_to_be_sealed_anew(
    given: pytest.MonkeyPatch,
) -> None:
    given.setenv("VAULT_MASTER_KEY", f"{SECOND},{FIRST}")
    vault, found_by = Vault(Settings()), hashlib.sha256(b"token").digest()
    totp = sealed_before(FIRST, f"totp_factors.sealed_secret:{ROW}", SECRET)
    token = sealed_before(FIRST, f"push_tokens.sealed_token {found_by.hex()}", "token")
    assert vault.open(TotpFactor.sealed_secret, ROW, totp) == SECRET
    assert vault.open(PushToken.sealed_token, found_by, token) == "token"
    assert not vault.is_current(totp)
    for value in (totp[:-1], totp[:3], sealed_before("another key", f"totp:{ROW}", SECRET)):
        with pytest.raises(SealBroken):
            vault.open(TotpFactor.sealed_secret, ROW, value)
    with pytest.raises(SealBroken):
        vault.open(TotpFactor.sealed_secret, OTHER_ROW, totp)
    with pytest.raises(SealBroken):
        vault.open(Probe.sealed_key, ROW, totp)


def test_requirement_3_4_sql_neither_compares_nor_orders_what_is_sealed() -> None:
    column = Probe.__table__.c.sealed_key
    for refused in (
        lambda: column == b"x",
        lambda: column != b"x",
        lambda: column < b"x",
        lambda: column.in_([b"x"]),
        lambda: column.like("x"),
        column.desc,
        lambda: column + b"x",
        lambda: b"x" + column,
        lambda: Probe.sealed_key == b"x",
    ):
        with pytest.raises(TypeError, match="what is sealed is opened"):
            refused()
    assert str(column.is_not(None)) == "probes.sealed_key IS NOT NULL"


def test_events_and_archives_hold_nothing_sealed() -> None:
    assert Probe.watch.deferred == ("sealed_key", "sealed_token")
    pages = {one.table.name: one.page(is_first=True) for one in exported_tables()}
    assert all("sealed_" not in page for page in pages.values())
    assert "'platform'" in pages["push_tokens"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"access": Access(read=Owner(), write=Owner(), update=("secret",))}, "only the server"),
        ({"index": mapped_column(BlindIndex("secret"))}, "a blind index is hidden from clients"),
        ({"index": mapped_column(BlindIndex("user_id"))}, "finds user_id, which is not sealed"),
        ({"secret": mapped_column(Sealed(), index=True)}, "ciphertext is not looked up"),
        ({"other": mapped_column(Text, primary_key=True)}, "name the column that binds"),
        ({"joint_topic": "all", "watch": None}, "what is told to everybody holds nothing sealed"),
    ],
)
def test_a_table_that_would_let_a_secret_out_is_refused(
    columns: dict[str, object], said: str
) -> None:
    declared = {
        "__tablename__": f"refused_{uuid4().hex}",
        "id": mapped_column(Text, primary_key=True),
        "user_id": mapped_column(Text),
        "secret": mapped_column(Sealed()),
        "access": Access(read=Owner()),
        **columns,
    }
    with pytest.raises(TypeError, match=said):
        type(f"Refused{uuid4().hex}", (Probes,), declared)


def test_what_no_client_reads_needs_to_hide_nothing() -> None:
    class Kept(Probes):
        __tablename__ = "kept"

        id: Mapped[UuidKey]
        secret: Mapped[bytes] = mapped_column(Sealed())
        secret_index: Mapped[bytes] = mapped_column(BlindIndex("secret"))

        access = Access(read=Nobody())

    assert blind_indexes(Kept.__table__) == {"secret_index": "secret"}


def test_ids_made_here_are_those_of_the_database() -> None:
    made = [new_row_id() for _ in range(3)]
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {"specified in RFC 4122"}
    assert made[0].int >> 80 <= made[2].int >> 80
    assert len(set(made)) == 3


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data directory without secrets."""
    for name in ("VAULT_MASTER_KEY", "VAULT_MASTER_KEY_FILE", "VAULT_MASTER_KEY_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIRECTORY", str(tmp_path / "data"))
    return tmp_path


def test_requirement_3_6_the_master_key_is_in_a_variable_a_file_or_a_command(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bare / "key"
    file.write_text(f"{FIRST}\n")
    first = master_key(FIRST, 100_000).id
    for variable, value in (
        ("VAULT_MASTER_KEY", FIRST),
        ("VAULT_MASTER_KEY_FILE", str(file)),
        ("VAULT_MASTER_KEY_COMMAND", f"cat '{file}'"),
    ):
        with monkeypatch.context() as alone:
            alone.setenv(variable, value)
            assert Vault(Settings()).first.id == first
    assert not (bare / "data").exists()
    monkeypatch.setenv("VAULT_MASTER_KEY", FIRST)
    monkeypatch.setenv("VAULT_MASTER_KEY_FILE", str(file))
    with pytest.raises(ValueError, match="VAULT_MASTER_KEY and VAULT_MASTER_KEY_FILE are given"):
        Settings()


def test_a_development_server_makes_a_key_that_its_user_alone_reads(bare: Path) -> None:
    sealed = Vault(Settings()).seal(Probe.sealed_key, ROW, SECRET)
    file = bare / "data" / "secrets" / "vault-master-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Vault(Settings()).open(Probe.sealed_key, ROW, sealed) == SECRET


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("FILE", "{}/nowhere", r"VAULT_MASTER_KEY_FILE: .*/nowhere can't be read \(No such file"),
        ("FILE", "{}/empty", "VAULT_MASTER_KEY_FILE: .*/empty is empty"),
        ("FILE", "{}/bytes", "can't be read .it is no text"),
        ("COMMAND", "false", "VAULT_MASTER_KEY_COMMAND ended with status 1"),
        ("COMMAND", "true", "VAULT_MASTER_KEY_COMMAND printed nothing"),
        ("COMMAND", "/nowhere/kms", r"VAULT_MASTER_KEY_COMMAND can't be run \(No such file"),
        ("COMMAND", "cat '", "VAULT_MASTER_KEY_COMMAND is no command"),
        ("COMMAND", "cat {}/bytes", "or what it prints is no text"),
    ],
)
def test_a_master_key_that_is_not_there_is_told_and_never_shown(
    bare: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    (bare / "empty").touch()
    (bare / "bytes").write_bytes(b"\xff\xfe")
    monkeypatch.setenv(f"VAULT_MASTER_KEY_{variable}", value.format(bare))
    with pytest.raises(SettingsError, match=said):
        Settings().secret("vault-master-key")
