"""`tallygraph outbox` lists the e-mails of a deployment without a mail server, and shows them."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from db.emails.operations import BegunEmail
from jobs.mailing.base import Letter
from jobs.mailing.outbox import OutboxMailer, file_name
from jobs.mailing.rendering import LetterWriter
from settings import Settings
from tests.jobs.letters import begun
from tests.running import run_command


async def claimed() -> bool:
    return True


@pytest.fixture
async def letters(settings: Settings, tmp_path: Path) -> list[Letter]:
    """Two in the outbox of a data directory of their own, the older one first."""
    writer, found = LetterWriter(settings), []
    for template, minutes in (("sign_in_code", 5), ("password_changed", 0)):
        email: BegunEmail = begun(template, f"{template}@example.test", "ar" if minutes else "en")
        object.__setattr__(email, "queued_at", email.queued_at - timedelta(minutes=minutes))
        found.append(writer.write(email))
        await OutboxMailer(tmp_path / "outbox").send(found[-1], claimed)
    return found


def test_the_newest_is_listed_first_and_shown(letters: list[Letter], tmp_path: Path) -> None:
    listed = run_command(tmp_path, "outbox", COLUMNS="200")
    assert listed.returncode == 0, listed.stderr
    lines = [line for line in listed.stdout.splitlines() if ".eml" in line]
    assert [letter.recipient in line for letter, line in zip(reversed(letters), lines, strict=True)]
    assert file_name(letters[1]) in lines[0]
    shown = run_command(tmp_path, "outbox", "show")
    assert "To: password_changed@example.test" in shown.stdout.splitlines()
    assert "The password of your Tallygraph account was changed." in shown.stdout


def test_another_is_shown_by_a_part_of_its_name(letters: list[Letter], tmp_path: Path) -> None:
    shown = run_command(tmp_path, "outbox", "show", str(letters[0].id))
    assert shown.returncode == 0, shown.stderr
    assert len(re.findall(r"^\d{6}$", shown.stdout, re.MULTILINE)) == 1
    html = run_command(tmp_path, "outbox", "show", "sign_in_code", "--html").stdout
    assert html.startswith("<!doctype html>")
    assert 'dir="rtl"' in html
    one = run_command(tmp_path, "outbox", "list", "--limit", "1", COLUMNS="200").stdout
    assert one.count(".eml") == 1


def test_an_empty_outbox_is_said_where_it_would_be(tmp_path: Path) -> None:
    assert str(tmp_path / "outbox") in run_command(tmp_path, "outbox").stdout
    missing = run_command(tmp_path, "outbox", "show", "x")
    assert (missing.returncode, str(tmp_path / "outbox") in missing.stderr) == (1, True)
