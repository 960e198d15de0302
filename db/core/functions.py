"""SQL functions: read from text, compared with a database by checksum, replaced one by one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import asyncpg

from settings import ROLES

# What a semicolon may stand in without ending a statement, and the semicolon itself.
_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|(\$\w*\$).*?\1|;", re.DOTALL)
_CREATE = re.compile(r"create\s+(?:or\s+replace\s+)?function\s+(app\.\w+)\s*\(", re.IGNORECASE)
_PRIVILEGE = re.compile(
    r"(?P<what>grant|revoke)\s+execute\s+on\s+function\s+(?P<functions>.+)"
    r"\s+(?:to|from)\s+(?P<roles>[\w\s,]+)$",
    re.IGNORECASE | re.DOTALL,
)
_MODE = re.compile(r"^(?:in|inout|variadic)\s+", re.IGNORECASE)
_DEFAULT = re.compile(r"\s+(?:default\s|=|:=).*$", re.IGNORECASE | re.DOTALL)
# What begins the comment of a function of ours, and what marks one that is no longer declared.
NOTE = "tallygraph"
RETIRED = "retired:"
# Stands for what is not known of a function that somebody else made.
UNKNOWN = "-"
EARLIER_KEPT = 20
_FOUND = """
select p.oid, p.oid::regprocedure::text as signature,
       coalesce(obj_description(p.oid, 'pg_proc'), '') as comment,
       left(md5(pg_get_functiondef(p.oid)
                || array(select unnest(p.proacl)::text order by 1)::text), 12) as state,
       exists (select from pg_depend d where d.refclassid = 'pg_proc'::regclass
               and d.refobjid = p.oid and d.deptype = 'n') as needed
from pg_proc p where p.pronamespace = 'app'::regnamespace and p.prokind = 'f'
"""
# Whether calls of a function could mean another one, which is declared: with the arguments that
# both must have, when those are of the same types.
_CONFUSED = """
select exists (
    select from pg_proc p join pg_proc n using (pronamespace, proname), lateral (
        select greatest(p.pronargs - p.pronargdefaults, n.pronargs - n.pronargdefaults) as fewest) f
    where p.oid = $1 and n.oid <> p.oid and f.fewest <= least(p.pronargs, n.pronargs)
      and (p.proargtypes::oid[])[0:f.fewest - 1] = (n.proargtypes::oid[])[0:f.fewest - 1]
      and coalesce(obj_description(n.oid, 'pg_proc'), '') ~ '^tallygraph (?!.*retired:)')
"""
_OIDS = """
select to_regprocedure(s.signature)::oid
from unnest($1::text[]) with ordinality s (signature, place) order by s.place
"""
_NOTES = """
select 'app.' || p.proname as name, coalesce(obj_description(p.oid, 'pg_proc'), '') as comment
from pg_proc p where p.pronamespace = 'app'::regnamespace
"""


@dataclass(frozen=True)
class Function:
    """A function of the schema `app`: how it is made, and who may call it."""

    signature: str
    text: str
    callers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name, with the schema."""
        return self.signature.partition("(")[0]

    @property
    def checksum(self) -> str:
        """Short, and another one for another text or other callers."""
        return _short(self.text + ",".join(self.callers))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def statements(sql: str) -> Iterator[str]:
    """The statements of a text, without the comments between them."""
    start = 0
    parts: list[str] = []
    for token in _TOKEN.finditer(sql):
        if token[0].startswith(("--", "/*")):
            parts.append(sql[start : token.start()])
        elif token[0] == ";":
            yield "".join([*parts, sql[start : token.start()]]).strip()
            parts = []
        else:
            continue
        start = token.end()
    if rest := "".join([*parts, sql[start:]]).strip():
        yield rest


def _separate(listed: str) -> list[str]:
    """A list's items, where commas in parentheses separate nothing."""
    return [item.strip() for item in re.split(r",\s*(?![^()]*\))", listed) if item.strip()]


def _signature(name: str, arguments: str) -> str:
    """As a grant names it: the types of its arguments, each of which has a name before it."""
    given = [one for one in _separate(arguments) if not one.lower().startswith("out ")]
    types = [_DEFAULT.sub("", _MODE.sub("", one, count=1)).split(None, 1)[-1] for one in given]
    return f"{name}({', '.join(types)})"


def _closing(text: str, opened: int) -> int:
    """Where the parenthesis ends that is opened there."""
    depth = 0
    for place in range(opened, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError(f"A parenthesis is not closed: {text[opened:]}")


def read_functions(texts: Iterable[str]) -> list[Function]:
    """The functions of several texts, which may have nothing else but grants on them."""
    made: dict[str, str] = {}
    callers: dict[str, set[str]] = {}
    for statement in (found for text in texts for found in statements(text)):
        if create := _CREATE.match(statement):
            end = _closing(statement, create.end() - 1)
            signature = _signature(create[1], statement[create.end() : end])
            if signature in made:
                raise ValueError(f"{signature} is made twice")
            made[signature] = f"create or replace function {statement[create.start(1) :]}"
        elif privilege := _PRIVILEGE.match(statement):
            granted = _separate(privilege["roles"]) if privilege["what"].lower() == "grant" else ()
            for signature in _separate(privilege["functions"]):
                callers.setdefault(" ".join(signature.split()), set()).update(granted)
        else:
            raise ValueError(f"This belongs into a migration: {statement[:200]}")
    if unknown := callers.keys() - made.keys():
        raise ValueError(f"There are grants on what is not made: {', '.join(sorted(unknown))}")
    return [
        Function(signature, text, tuple(sorted(callers.get(signature, ()))))
        for signature, text in made.items()
    ]


@dataclass(frozen=True)
class Note:
    """What the comment of a function remembers: its text's checksum and those it had before.

    `state` is a digest of the function as the database had it then, so that one which somebody else
    replaced is noticed. `retired` is the release that no longer declares it.
    """

    checksum: str = ""
    state: str = ""
    earlier: tuple[str, ...] = ()
    retired: str = ""

    @classmethod
    def of(cls, comment: str) -> Note:
        """Reads a comment; one of somebody else's says nothing."""
        words = comment.split()
        if words[:1] != [NOTE]:
            return cls()
        retired = words.pop() if words[-1].startswith(RETIRED) else ""
        told = ["" if word == UNKNOWN else word for word in words[1:]]
        checksum, state = [*told, "", ""][:2]
        return cls(checksum, state, tuple(told[2:]), retired.removeprefix(RETIRED))

    @property
    def comment(self) -> str:
        """As the database keeps it."""
        retired = (RETIRED + self.retired,) if self.retired else ()
        known = (self.checksum or UNKNOWN, self.state or UNKNOWN)
        return " ".join((NOTE, *known, *self.earlier, *retired))

    def succeeded_by(self, checksum: str, state: str) -> Note:
        """The note of what replaces it. What came after the same text is forgotten."""
        known = [one for one in (self.checksum, *self.earlier) if one]
        older = known[known.index(checksum) + 1 :] if checksum in known else known
        return Note(checksum, state, tuple(older[:EARLIER_KEPT]))


async def replace_functions(
    owner: asyncpg.Connection, functions: Sequence[Function], release: str
) -> list[str]:
    """Makes those that are not there as they are declared; returns what was made or dropped.

    What is no longer declared may be called by servers of the release before. It is marked with
    the `release` that retires it, and a later one drops it; at once when Postgres could not tell
    calls of it from those of an overload that is declared. Without a release no server has run on
    this database yet. Call it in a transaction.
    """
    found = {row["oid"]: row for row in await owner.fetch(_FOUND)}
    done: list[str] = []
    oids = await owner.fetch(_OIDS, [function.signature for function in functions])
    for function, (oid,) in zip(functions, oids, strict=True):
        row = found.pop(oid, None)
        note = Note.of(row["comment"]) if row else Note()
        if row is None or (note.checksum, note.state) != (function.checksum, row["state"]):
            await _make(owner, function, note)
            done.append(function.signature)
    gone = [row["signature"] for row in found.values() if await _retire(owner, row, release)]
    return done + gone


async def _make(owner: asyncpg.Connection, function: Function, before: Note) -> None:
    """Makes a function, with exactly its callers, and notes what it is."""
    signature = function.signature
    try:
        async with owner.transaction():
            await owner.execute(function.text)
    except asyncpg.InvalidFunctionDefinitionError:  # what it returns is another type now
        await owner.execute(f"drop function {signature}")
        await owner.execute(function.text)
    await owner.execute(f"revoke all on function {signature} from public, {', '.join(ROLES)}")
    if function.callers:
        callers = ", ".join(function.callers)
        await owner.execute(f"grant execute on function {signature} to {callers}")
    row = await owner.fetchrow(f"{_FOUND} and p.oid = $1::text::regprocedure", signature)
    assert row is not None
    note = before.succeeded_by(function.checksum, row["state"])
    await owner.execute(f"comment on function {signature} is '{note.comment}'")


async def _retire(owner: asyncpg.Connection, row: asyncpg.Record, release: str) -> bool:
    """Marks what is not declared any more; drops it when a release without it has been out."""
    note = Note.of(row["comment"])
    if row["needed"]:
        return False
    is_out = not release or note.retired not in ("", release)
    if is_out or await owner.fetchval(_CONFUSED, row["oid"]):
        await owner.execute(f"drop function {row['signature']}")
        return True
    if not note.retired:
        marked = replace(note, retired=release)
        await owner.execute(f"comment on function {row['signature']} is '{marked.comment}'")
    return False


async def outdated(connection: asyncpg.Connection, functions: Iterable[Function]) -> list[str]:
    """The names of the functions that the database has not had yet as they are declared.

    One that was replaced since by a newer release is none of them.
    """
    known: set[tuple[str, str]] = set()
    for row in await connection.fetch(_NOTES):
        note = Note.of(row["comment"])
        known |= {(row["name"], checksum) for checksum in (note.checksum, *note.earlier)}
    return sorted({one.name for one in functions if (one.name, one.checksum) not in known})
