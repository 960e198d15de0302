"""`python -m tallygraph_bot.terminal`: the bot without Discord, for one server that it is in.

Each line is a command of somebody's, as `ana: /redeem key:KEY-00001 product:"Lamplighter"`; whoever
is called `admin` administers the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
import threading
import zlib
from pathlib import Path

from .api import Tallygraph
from .commands import COMMANDS, Commands
from .documents import STREAMS
from .gateway import Member
from .journal import Journal
from .service import Service
from .shops import Shops

# The server of `tallygraph seed vectabase --demo`.
DEMO_GUILD = "420000000000000001"
FIRST_ID = 430_000_000_000_000_000
HOW = 'Write as somebody: ana: /redeem key:KEY-00001 product:"Lamplighter"'


class TerminalGateway:
    """Says what would be done at Discord."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    async def give_role(self, guild_id: str, member_id: str, role_id: str) -> None:  # noqa: ARG002
        """Says who gets a role."""
        print(f"  ({self._who(member_id)} has the role {role_id})")

    async def take_role(self, guild_id: str, member_id: str, role_id: str) -> None:  # noqa: ARG002
        """Says who loses one."""
        print(f"  ({self._who(member_id)} has the role {role_id} no more)")

    async def tell(self, member_id: str, text: str) -> None:
        """Says what somebody is written."""
        print(f"  (to {self._who(member_id)}: {text})")

    def member(self, name: str, guild_id: str) -> Member:
        """Somebody of this name: the same one whenever the bot runs."""
        member_id = str(FIRST_ID + zlib.crc32(name.encode()))
        self.names[member_id] = name
        return Member(member_id, name, guild_id, is_administrator=name == "admin")

    def _who(self, member_id: str) -> str:
        return self.names.get(member_id, member_id)


def parsed(line: str) -> tuple[str, str, dict[str, str]] | None:
    """Who used which command with what; None where a line is no command."""
    name, _, rest = line.partition(":")
    try:
        command, *given = shlex.split(rest)
    except ValueError:
        return None
    options = [one.partition(":") for one in given]
    if not name.strip() or not command.startswith("/") or not all(sign for _, sign, _ in options):
        return None
    return name.strip(), command.removeprefix("/"), {name: value for name, _, value in options}


async def answer(line: str, commands: Commands, gateway: TerminalGateway, guild_id: str) -> str:
    """What is said to whoever wrote a line."""
    found = parsed(line)
    if found is None:
        return HOW
    name, command, given = found
    if command not in COMMANDS:
        return f"There are these commands: {', '.join(COMMANDS)}."
    _, options = COMMANDS[command]
    needed = {option for option, is_needed in options.items() if is_needed}
    if not needed <= given.keys() <= options.keys():
        takes = [option if option in needed else f"[{option}]" for option in options]
        return f"/{command} takes {', '.join(takes) or 'nothing'}."
    return await commands.run(command, gateway.member(name, guild_id), **given)


def _lines() -> asyncio.Queue[str]:
    """The lines of the terminal, and an empty text after the last one.

    They are read by a thread that nobody waits for: Ctrl-C ends the bot while it reads.
    """
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        line = "-"
        while line:
            line = sys.stdin.readline()
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, daemon=True).start()
    return lines


async def main(guild_id: str) -> None:
    """Answers line by line, and shows what is changed elsewhere, until there are no more lines."""
    url, key = (os.environ.get(f"TALLYGRAPH_{name}") for name in ("URL", "KEY"))
    if not url or not key:
        sys.exit("Set TALLYGRAPH_URL, such as http://127.0.0.1:8000, and TALLYGRAPH_KEY.")
    api = Tallygraph(url, key)
    journal, shops = Journal(Path(os.environ.get("JOURNAL", "bot.sqlite3"))), Shops.of_environment()
    gateway = TerminalGateway()
    service = Service(api, journal, gateway, shops)
    commands = Commands(service)
    beside = [asyncio.create_task(service.follow(name)) for name in STREAMS]
    print(HOW)
    try:
        await service.sync_all()
        lines = _lines()
        while line := await lines.get():
            if line.strip():
                print(await answer(line, commands, gateway, guild_id))
    finally:
        for task in beside:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await shops.close()
        await api.close()
        journal.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else DEMO_GUILD))
