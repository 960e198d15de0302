"""Discord itself, by discord.py: servers joined and left, slash commands, roles."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import discord
from discord import app_commands

from .api import Away, Tallygraph
from .commands import COMMANDS, Commands
from .documents import STREAMS
from .gateway import Guild, Member
from .journal import Journal
from .service import Service
from .shops import Shops

SYNC_SECONDS = 60.0
log = logging.getLogger("tallygraph_bot")


class DiscordGateway(discord.Client):
    """The bot's connection to Discord."""

    def __init__(self, api: Tallygraph, journal: Journal, shops: Shops) -> None:
        super().__init__(intents=discord.Intents(guilds=True, members=True))
        self._service = Service(api, journal, self, shops)
        self._commands = Commands(self._service)
        self._tree = app_commands.CommandTree(self)
        self._beside: list[asyncio.Task[None]] = []

    async def setup_hook(self) -> None:
        """Registers the commands, and follows what changes at Tallygraph."""
        for name, (description, options) in COMMANDS.items():
            self._tree.add_command(self._command(name, description, options))
        await self._tree.sync()
        self._beside = [asyncio.create_task(self._service.follow(name)) for name in STREAMS]
        self._beside.append(asyncio.create_task(self._sync()))

    async def _sync(self) -> None:
        while True:
            try:
                await self._service.sync_all()
            except Exception:
                # Nobody would start it again: what waits is sent the next time.
                log.exception("What waits could not be sent.")
            await asyncio.sleep(SYNC_SECONDS)

    async def on_ready(self) -> None:
        """Tells of all servers."""
        await self._service.joined([_guild(one) for one in self.guilds])

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Tells of one more."""
        await self._service.joined([_guild(guild)])

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Tells that it is one less."""
        await self._service.left(str(guild.id))

    def _command(self, name: str, about: str, options: dict[str, bool]) -> Any:
        async def run(interaction: discord.Interaction, **given: str) -> None:
            # Within three seconds Discord wants to hear that there will be an answer.
            await interaction.response.defer(ephemeral=True)
            values = {one: given[one.lower()] for one in options if given.get(one.lower())}
            said = await self._commands.run(name, _member(interaction), **values)
            await interaction.followup.send(said, ephemeral=True)

        # discord.py reads a command's options from its signature.
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter("interaction", kind, annotation=discord.Interaction)]
        for one, needed in options.items():
            default = inspect.Parameter.empty if needed else ""
            parameters.append(inspect.Parameter(one.lower(), kind, annotation=str, default=default))
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return app_commands.Command(name=name, description=about, callback=run)

    async def give_role(self, guild_id: str, member_id: str, role_id: str) -> None:
        """Gives a member a role."""
        with _attempted():
            await self.http.add_role(guild_id, member_id, role_id, reason="Redeemed")

    async def take_role(self, guild_id: str, member_id: str, role_id: str) -> None:
        """Takes a role from a member."""
        with _attempted():
            await self.http.remove_role(guild_id, member_id, role_id, reason="Removed")

    async def tell(self, member_id: str, text: str) -> None:
        """Writes to somebody."""
        with _attempted():
            await (await self.fetch_user(int(member_id))).send(text)


@contextlib.contextmanager
def _attempted() -> Iterator[None]:
    """For what is done at Discord: what it never takes is no fault, and what fails is `Away`."""
    try:
        yield
    except (discord.DiscordServerError, discord.RateLimited, aiohttp.ClientError, OSError) as error:
        raise Away("Discord does not answer") from error
    except discord.HTTPException as error:
        log.info("Discord does not take something: %s", error.code)


def _guild(guild: discord.Guild) -> Guild:
    icon = guild.icon.key if guild.icon else None
    return Guild(str(guild.id), guild.name, icon, str(guild.owner_id), guild.member_count or 0)


def _member(interaction: discord.Interaction) -> Member:
    user = interaction.user
    roles = frozenset(str(role.id) for role in getattr(user, "roles", ()))
    is_administrator = interaction.permissions.administrator
    return Member(str(user.id), user.name, str(interaction.guild_id), roles, is_administrator)


def main() -> None:
    """Runs the bot, by TALLYGRAPH_URL, TALLYGRAPH_KEY, DISCORD_TOKEN, JOURNAL, and the shops'."""
    api = Tallygraph(os.environ["TALLYGRAPH_URL"], os.environ["TALLYGRAPH_KEY"])
    journal = Journal(Path(os.environ.get("JOURNAL", "bot.sqlite3")))
    DiscordGateway(api, journal, Shops.of_environment()).run(os.environ["DISCORD_TOKEN"])
