"""Passwords that an operator sets: asked for on the terminal, never an argument of the command."""

from __future__ import annotations

import asyncio
import sys

import typer

from cli.core.terminal import fail


def read_password(*, from_stdin: bool) -> str:
    """The password, typed twice without being shown, or the first line of standard input."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            fail("Standard input is empty: the password is its first line.")
        return password
    if not sys.stdin.isatty():
        fail("There is no terminal to ask for the password on: give it with --password-stdin.")
    typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return typed


def hashed(password: str) -> str:
    """The hash that is stored of a password."""
    return asyncio.run(_hashed(password))


async def _hashed(password: str) -> str:
    from auth.passwords import PasswordHasher

    hasher = PasswordHasher()
    try:
        return await hasher.hash(password)
    finally:
        hasher.close()
