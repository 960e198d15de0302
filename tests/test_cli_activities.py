"""An operator brings activities from a file: all of it, or nothing and what is wrong where."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from typer.testing import CliRunner

from cli.main import app
from db.activities.importing import read_activities
from db.core.pool import Database

HEADER = "kind,level,intensity,text,themes,limit_keys\n"


async def _import(*arguments: object, status: int = 0) -> list[str]:
    runner = CliRunner(env={"COLUMNS": "160"})
    given = ["import", "activities", *map(str, arguments)]
    done = await asyncio.to_thread(runner.invoke, app, given)
    assert done.exit_code == status, done.output
    return [" ".join(line.split()) for line in done.output.splitlines()]


async def test_a_file_is_imported_and_again_brought_up_to_date(
    database: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    text = f"Sing {uuid4()}, then bow."
    file = tmp_path / "bank.csv"
    file.write_text(f'{HEADER}DARE,G,1,"{text}",music;voice,\n')
    read = "select level, themes, source from activities where text = $1"
    assert "1 would be added" in await _import(file, "--dry-run")
    assert await owner.fetchrow(read, text) is None
    assert "1 added" in await _import(file)
    assert tuple(await owner.fetchrow(read, text)) == ("G", ["music", "voice"], "IMPORTED")
    assert "1 unchanged" in await _import(file)
    (tmp_path / "bank.json").write_text(
        json.dumps([{"kind": "DARE", "level": "R", "intensity": 2, "text": text, "themes": ["x"]}])
    )
    assert "1 changed" in await _import(tmp_path / "bank.json")
    assert tuple(await owner.fetchrow(read, text)) == ("R", ["x"], "IMPORTED")


async def test_replacing_switches_off_what_is_not_in_the_file(
    database: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    file, texts = tmp_path / "bank.csv", [f"Clap {uuid4()}." for _ in range(2)]
    for text in texts:
        file.write_text(f"{HEADER}DARE,G,1,{text},music,\n")
        await _import(file)
    # Tried alone: other tests have activities in this database.
    tried = await _import(file, "--replace", "--dry-run")
    archived = next(line for line in tried if line.endswith(" archived"))
    assert int(archived.split()[0].replace(",", "")) >= 1
    assert "0 archived" in await _import(file, "--dry-run")
    active = await owner.fetchval(
        "select count(*) from activities where is_active and text = any($1)", texts
    )
    assert active == 2
    file.write_text(HEADER)
    assert (await _import(file, "--replace", status=1))[0] == "line 1: has no activities"


async def test_nothing_is_imported_while_a_row_is_wrong(
    database: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    text = f"Whisper {uuid4()}."
    file = tmp_path / "bank.csv"
    file.write_text(
        f'{HEADER}TRUTH,G,1,{text},words,\nTRUTH,G,9,"Two\nlines",words,\nTRUTH,G,1,Three,words,bees\n'
        f"TRUTH,G,1,{text},words,\n"
    )
    said = await _import(file, status=1)
    assert [line.split(":")[0] for line in said[:3]] == [
        "line 3, intensity",
        "line 5, limit_keys",
        "line 6, text",
    ]
    assert said[2] == "line 6, text: is the same activity as in line 2"
    assert await owner.fetchval("select count(*) from activities where text = $1", text) == 0


def test_problems_of_json_name_the_line_where_an_entry_begins(tmp_path: Path) -> None:
    file = tmp_path / "bank.json"
    file.write_text('[\n {"kind": "DARE"},\n\n {"level": "Q"}]')
    assert {problem.line for problem in read_activities(file)[1]} == {2, 4}
    for broken in ('{"kind": 1}', "[1]", '[{"kind": "DARE"} {}]', "[", '[{"a": 1},]'):
        file.write_text(broken)
        assert read_activities(file)[1][-1].what.startswith("is no JSON")
    file.write_text(" [ ]\n")
    assert read_activities(file) == ([], [])


async def test_entries_on_one_line_are_told_apart(tmp_path: Path) -> None:
    file, entry = tmp_path / "bank.json", {"kind": "DARE", "level": "G", "intensity": 1}
    same = entry | {"text": "Bow.", "themes": ["music"]}
    file.write_text(json.dumps([same, same, same | {"level": "Q"}, {**same, "\ud800\n": 1}]))
    assert (await _import(file, status=1))[:4] == [
        "line 1, entry 2, text: is the same activity as in line 1, entry 1",
        "line 1, entry 3, level: must be one of G, R, X",
        "line 1, entry 4, \\ud800\\n…: is no column of an activity",
        "Nothing was imported: 3 problems.",
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", HEADER.encode() + b"TRUTH,G,1,gr\xf6\xdfer,x,\n", "line 2: is not in UTF-8"),
        ("b.csv", HEADER.encode("utf-16"), "line 1: is not in UTF-8"),
        ("c.csv", b"kind,themes,themes\nTRUTH,a,b\n", "line 1: names the column themes twice"),
        ("d.csv", HEADER.encode() + b'TRUTH,G,1,"open', "line 2: is no CSV"),
        ("e.csv", b"kind,intensity\nTRUTH," + b"9" * 5_000, "line 2, level: must be one of"),
        ("f.json", b"[" * 100_000, "line 1: is no JSON"),
        ("g.json", b"[\n" + b'{"a":' * 100_000, "line 2: is no JSON"),
        ("h.json", b'[{"intensity": ' + b"9" * 5_000 + b"}]", "line 1: is no JSON"),
        ("i.json", b'[{"kind": NaN, "level": [], "themes": {}}]', "line 1, entry 1, kind"),
        ("j.json", b"null", "line 1: is no JSON"),
        ("k.json", b"", "line 1: is no JSON"),
    ],
)
async def test_a_broken_file_is_told_in_a_line(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert (await _import(tmp_path / name, status=1))[0].startswith(told)
