"""The example's bot in a terminal, at the server that the demo makes (6.1, 6.3)."""

from __future__ import annotations

import pytest

from .bots import Member  # isort: skip - it makes the bot's folder known

from tallygraph_bot.terminal import HOW, TerminalGateway, answer, parsed  # isort: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ana: /redeem key:A product:'Night Market Panel'", ("ana", "redeem", 2)),
        ("admin: /admin-product-list", ("admin", "admin-product-list", 0)),
        ("ana: redeem key:A", None),
        ("ana: /redeem key", None),
        (": /redeem", None),
        ("ana", None),
        ("ana: /redeem key:'A", None),
    ],
)
def test_6_3_a_line_is_somebodys_command(line: str, expected: tuple[str, str, int] | None) -> None:
    found = parsed(line)
    assert (found and (found[0], found[1], len(found[2]))) == expected


async def test_6_1_whoever_is_called_admin_administers() -> None:
    seen: list[tuple[str, Member, dict[str, str]]] = []

    class Commands:
        async def run(self, name: str, member: Member, /, *, key: str = "") -> str:
            seen.append((name, member, {"key": key}))
            return "Said."

    gateway = TerminalGateway()

    async def said(line: str) -> str:
        return await answer(line, Commands(), gateway, "1")  # type: ignore[arg-type]

    lines = "ana: /redeem key:A", "admin: /admin-product-list", "?"
    assert [await said(one) for one in lines] == ["Said.", "Said.", HOW]
    usage = "/redeem takes key, [product], [roblox]."
    assert [await said(f"ana: /redeem {given}") for given in ("", "colour:A key:A")] == [usage] * 2
    assert "these commands: redeem, update" in await said("ana: /save")
    (_, ana, given), (_, admin, _) = seen
    assert (ana.is_administrator, admin.is_administrator, given) == (False, True, {"key": "A"})
    assert gateway.member("ana", "1").id == ana.id
    assert len(ana.id) == 18
