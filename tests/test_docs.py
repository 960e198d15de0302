"""What the documents say is there is there: codes, settings, paths, names, links and the tour."""

from __future__ import annotations

import ast
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from auth.keys import VARIABLE
from db.core.errors import ErrorCode
from settings import ROLES, Settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("auth", "cli", "db", "graph", "jobs", "payments", "server")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(
    r"\.?[\w-]+(?:/[\w.-]+)*/?(?:[\w-]*\.(?:py|sql|md|graphql|toml|sh|lock)|(?<=/))"
    r"|(?:script|\.ci|tests|docs|db|graph|auth|jobs)/[\w./-]+"
)
NAME = re.compile(r"[a-zA-Z]\w+")
CALL = re.compile(r"(app\.)?(?:(\w+)\.)?(\w+)\(\)")


def read(name: str) -> str:
    return (ROOT / name).read_text()


def prose(text: str) -> str:
    """A document without its blocks of code."""
    return FENCE.sub("", text)


def sources() -> dict[Path, str]:
    """Every module of the product, and the SQL that it runs."""
    files = [*ROOT.glob("*.py")]
    for package in PACKAGES:
        files += (ROOT / package).rglob("*.py")
        files += (ROOT / package).rglob("*.sql")
    return {file: file.read_text() for file in files}


def defined_names() -> set[str]:
    """Classes, functions and methods of the product; SQL functions with their schema."""
    names: set[str] = set()
    for file, text in sources().items():
        if file.suffix == ".sql":
            names |= set(re.findall(r"function (app\.\w+)\(", text))
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.ClassDef):
                names.add(node.name)
                methods = [
                    n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
                ]
                names |= {f"{node.name}.{method.name}" for method in methods}
    return names


def secret_variables() -> set[str]:
    """The variables that `Settings.secret` is asked for anywhere, and that of the signing keys."""
    found = {VARIABLE}
    for file, text in sources().items():
        if file.parent.name == "embedded":
            continue
        for name in re.findall(r"""\.secret\(f?["']([^"']+)["']\)""", text):
            roles = ROLES if "{role}" in name else ("",)
            found |= {name.replace("{role}", role).upper().replace("-", "_") for role in roles}
    return found


def test_every_error_code_is_explained() -> None:
    explained = re.findall(r"^\| `([A-Z_]+)` \|", read("docs/errors.md"), re.MULTILINE)
    assert sorted(explained) == sorted(code.value for code in ErrorCode)


def test_the_example_names_every_setting_and_secret_and_no_other() -> None:
    named = re.findall(r"^# ([A-Z][A-Z0-9_]*)=", read(".env.example"), re.MULTILINE)
    settings = {name.upper() for name in Settings.model_fields}
    assert sorted(named) == sorted(settings | secret_variables())


def test_the_example_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.*)$", read(".env.example"), re.MULTILINE))
    for name, field in Settings.model_fields.items():
        value = shown[name.upper()]
        default = field.default
        if isinstance(default, bool):
            assert value == str(default).lower(), name
        elif isinstance(default, int | float):
            assert float(value) == default, name
        else:
            assert value == ("" if default in (None, []) else str(default)), name


def test_every_path_in_the_architecture_exists() -> None:
    text = prose(read("ARCHITECTURE.md"))
    paths = {span for span in CODE_SPAN.findall(text) if PATH.fullmatch(span)}
    # Said of any slice, not of a file: `rules.py`.
    missing = {path for path in paths if "/" in path and not (ROOT / path).exists()}
    assert len(paths) > 30
    assert missing == set()


def test_every_file_on_the_map_exists() -> None:
    (drawing,) = [
        code for _, code in FENCE.findall(read("ARCHITECTURE.md")) if "settings.py" in code
    ]
    package, missing = ROOT, []
    for line in drawing.splitlines():
        words = re.findall(r"(?<!\S)[\w/-]+(?:\.py|/)(?!\S)", line)
        if not line.startswith(" "):
            package = ROOT / words[0] if words[0].endswith("/") else ROOT
            words = words[1:] if words[0].endswith("/") else words
        missing += [word for word in words if not (package / word).exists()]
    assert missing == []


def test_every_function_in_the_architecture_exists() -> None:
    known = defined_names()
    found = [
        match
        for span in CODE_SPAN.findall(prose(read("ARCHITECTURE.md")))
        if (match := CALL.fullmatch(span))
    ]
    assert len(found) > 30
    missing = {match[0] for match in found if match[0].removesuffix("()") not in known}
    assert missing == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(prose(document.read_text())):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (document.parent / place) if place else document
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            anchors = {
                re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings
            }
            assert anchor in anchors, link


def test_the_decisions_are_numbered_without_gaps_and_formed_alike() -> None:
    files = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for number, file in enumerate(files, start=1):
        headings = re.findall(r"^#+ .+$", file.read_text(), re.MULTILINE)
        assert headings[0].startswith(f"# {number}. "), file.name
        assert headings[1:] == ["## Context", "## Decision", "## Consequences"], file.name


def test_the_readmes_tour_is_the_script() -> None:
    tour = [code for kind, code in FENCE.findall(read("README.md")) if kind == "sh"]
    _, script = read("examples/tour.sh").split("set -eu\n\n")
    assert "\n".join(tour) == script


# Written apart, so that these lines are not what they look for.
HOSTS = (
    r"py" r"pi\.org",
    r"python" r"hosted\.org",
    r"registry\.np" r"m",
    r"np" r"mjs\.(?:org|com)",
    r"deb" r"ian\.org",
)
MACHINE_PATHS = r"(?:^|[^A-Za-z0-9_./-])/(?:wo" r"rk|ro" r"ot)/"
FOREIGN = re.compile("|".join([*HOSTS, MACHINE_PATHS]))


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git checkout: clone the repository with git")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        file = ROOT / name
        if file.suffix == ".svg" or not file.is_file():
            continue
        data = file.read_bytes()
        if b"\0" in data[:8000]:
            continue
        lines = enumerate(data.decode(errors="replace").splitlines(), start=1)
        found += [f"{name}:{number}" for number, line in lines if FOREIGN.search(line)]
    assert found == []


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    versions = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == "Unreleased"
    released = [tuple(int(part) for part in version.split(".")) for version in versions[1:]]
    assert all(newer > older for newer, older in pairwise(released))


def test_every_test_that_a_document_names_is_there() -> None:
    tests = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("*.py"))
    there = set(re.findall(r"^ *(?:async )?def (test_\w+)", tests, re.MULTILINE))
    named = {
        (file.name, name)
        for file in DOCUMENTS
        for name in re.findall(r"`(test_\w+)`", prose(file.read_text()))
    }
    assert len(named) > 50, "the list of requirements names the test of each"
    assert [(file, name) for file, name in sorted(named) if name not in there] == []


def test_every_operation_that_who_moves_is_told_of_is_there() -> None:
    table = read("docs/migrating/attuned.md").partition("## 5. Switch")[2]
    cells = re.findall(r"^\| [^|]+ \| ([^|]+) \|$", table, re.MULTILINE)
    named = {
        name for cell in cells for span in CODE_SPAN.findall(cell) for name in NAME.findall(span)
    }
    fields = set(re.findall(r"^  (\w+)(?:\(|:)", read("schema.graphql"), re.MULTILINE))
    assert len(named) > 40
    assert named <= fields
