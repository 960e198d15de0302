"""`tallygraph users …`: who there is, and what an operator does to accounts."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from cli.core.accounts import sessions_table, summary, users_table
from cli.core.passwords import hashed, read_password
from cli.core.terminal import (
    console,
    id_of,
    operator,
    owner_url,
    refusals,
    result_console,
    run,
)
from settings import get_settings

commands = typer.Typer(no_args_is_help=True, help="People.")

# What a page of users takes in one line each, with e-mails of usual length.
WIDE_COLUMNS = 120
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Who = Annotated[str, typer.Argument(help="Whose account: an e-mail, or an id as the API gives it.")]

NotAsked = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@commands.command("list")
def users_list(
    search: Annotated[
        str | None, typer.Option(help="Only those whose e-mail has this text in it.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    after: Annotated[
        str | None, typer.Option(help="Those behind this user: the last id of the page before.")
    ] = None,
) -> None:
    """Lists users, newest first."""
    from db.accounts.operating import list_users

    # One more than is shown tells whether there is another page.
    found = run(list_users(owner_url(get_settings()), search, after, limit + 1))
    if not found:
        console.print("Nobody.")
        return
    out = result_console()
    out.print(users_table(found[:limit], is_narrow=out.width < WIDE_COLUMNS))
    if len(found) > limit:
        console.print(f"There are more: --after user_{found[limit - 1]['id']}", soft_wrap=True)


@commands.command("show")
def users_show(who: Who) -> None:
    """Shows an account: its wallet in short and the devices that are signed in."""
    from db.accounts.operating import read_account

    account = run(read_account(owner_url(get_settings()), who))
    out = result_console()
    out.print(summary(account))
    if account.sessions:
        out.print(sessions_table(account.sessions))
    console.print("The wallet in full: `tallygraph credits show WHO`.")


@commands.command("create")
def users_create(
    email: Annotated[str, typer.Argument(help="The address that they sign in with.")],
    name: Annotated[str | None, typer.Option(help="The name that others see.")] = None,
    locale: Annotated[str | None, typer.Option(help="Their language, such as pt-BR.")] = None,
    no_password: Annotated[
        bool,
        typer.Option("--no-password", help="Without one: a code or `set-password` opens it."),
    ] = False,
    password_stdin: PasswordStdin = False,
    unconfirmed: Annotated[
        bool,
        typer.Option("--unconfirmed", help="Nobody knows yet that the address is theirs."),
    ] = False,
) -> None:
    """Opens an account. The password is asked for; nobody is mailed."""
    from db.administration.new_users import check_new_user
    from db.administration.operating import add_user, refuse_known_email

    settings = get_settings()
    url = owner_url(settings)
    checked = partial(
        check_new_user,
        email,
        is_confirmed=not unconfirmed,
        display_name=name,
        locale=locale,
        blocked_words=settings.blocked_words,
    )
    with refusals():
        new = checked(password=None)
        run(refuse_known_email(url, new.email))  # before anything is asked
        if not no_password:
            new = checked(password=read_password(from_stdin=password_stdin))
    added = run(add_user(url, new, new.password and hashed(new.password), operator()))
    _tell(new.email, f"has an account now: user_{added}")


@commands.command("set-password")
def users_set_password(who: Who, password_stdin: PasswordStdin = False) -> None:
    """Sets a password, which is asked for. Sessions and API keys end, and the owner is mailed."""
    from db.accounts.rules import check_new_password, normalise_password
    from db.administration.operating import read_names, replace_password

    settings = get_settings()
    url = owner_url(settings)
    names = run(read_names(url, who))
    password = normalise_password(read_password(from_stdin=password_stdin))
    with refusals():
        check_new_password(
            password, "password", (names.email, names.username, *settings.blocked_words)
        )
    run(replace_password(url, names.user_id, hashed(password), operator()))
    _tell(who, "has the new password, and is signed out everywhere.")


@commands.command("send-reset")
def users_send_reset(who: Who) -> None:
    """Mails a code with which the owner sets a new password."""
    from db.administration.operating import mail_reset_code

    run(mail_reset_code(owner_url(get_settings()), who, operator()))
    _tell(who, "is mailed a code for a new password.")


@commands.command("confirm-email")
def users_confirm_email(who: Who) -> None:
    """Confirms an address on your word. Make sure first that it is theirs."""
    from db.administration.operating import confirm_email

    changed = run(confirm_email(owner_url(get_settings()), who, operator()))
    _tell(who, "has a confirmed address now." if changed else "had confirmed it already.")


@commands.command("sessions")
def users_sessions(who: Who) -> None:
    """Lists the devices on which somebody is signed in, the last used first."""
    from db.accounts.operating import read_account

    account = run(read_account(owner_url(get_settings()), who))
    if not account.sessions:
        _tell(who, "is signed in nowhere.")
        return
    result_console().print(sessions_table(account.sessions, with_ids=True))


@commands.command("sign-out")
def users_sign_out(
    who: Who,
    session: Annotated[
        UUID | None,
        typer.Option(
            help="Only this one; all if unsaid.",
            parser=id_of("session", "tallygraph users sessions"),
            metavar="ID",
        ),
    ] = None,
) -> None:
    """Ends the sessions of somebody, on every node within 5 seconds. API keys go on."""
    from db.administration.operating import end_sessions

    ended = run(end_sessions(owner_url(get_settings()), who, session, operator()))
    _tell(who, f"is signed out: {ended} session{'' if ended == 1 else 's'} ended.")


@commands.command("promote")
def users_promote(who: Who) -> None:
    """Makes a user an admin, from their next request on."""
    from db.accounts.operating import set_role

    changed = run(set_role(owner_url(get_settings()), who, "admin", operator()))
    _tell(who, "is an admin from now on." if changed else "is an admin already.")


@commands.command("demote")
def users_demote(who: Who, yes: NotAsked = False) -> None:
    """Takes an admin's rights away, and ends their sessions."""
    from db.accounts.operating import set_role

    _ask_about_last_admin(who, yes=yes)
    changed = run(set_role(owner_url(get_settings()), who, "user", operator()))
    _tell(who, "is no admin any more." if changed else "is no admin.")


def _ask_about_last_admin(who: str, *, yes: bool) -> None:
    """Has the operator confirm what leaves no admin; without anybody to ask, it is not done."""
    from db.accounts.operating import is_last_admin

    if not yes and run(is_last_admin(owner_url(get_settings()), who)):
        asked = f"{who.strip()} is the last admin: nobody can use /admin then. Go on?"
        typer.confirm(asked, abort=True, err=True)


@commands.command("lock")
def users_lock(who: Who, yes: NotAsked = False) -> None:
    """Locks an account: its sessions end within seconds, and nobody signs in."""
    from db.accounts.operating import set_locked

    _ask_about_last_admin(who, yes=yes)
    work = set_locked(owner_url(get_settings()), who, is_locked=True, operator=operator())
    _tell(who, "is locked from now on." if run(work) else "is locked already.")


@commands.command("unlock")
def users_unlock(who: Who) -> None:
    """Lets the owner of a locked account sign in again."""
    from db.accounts.operating import set_locked

    work = set_locked(owner_url(get_settings()), who, is_locked=False, operator=operator())
    _tell(who, "may sign in again." if run(work) else "is not locked.")


@commands.command("delete")
def users_delete(
    who: Who,
    days: Annotated[
        int | None,
        typer.Option(min=0, max=365, help="After how many; ACCOUNT_DELETION_DAYS if unsaid."),
    ] = None,
    yes: NotAsked = False,
) -> None:
    """Deletes an account and all it has, after a while in which signing in keeps it."""
    from db.accounts.operating import read_account, schedule_deletion

    settings = get_settings()
    waits = settings.account_deletion_days if days is None else days
    run(read_account(owner_url(settings), who))  # before anything is asked
    if not yes:
        typer.confirm(f"Delete {who.strip()} in {waits} days, for good?", abort=True, err=True)
    work = schedule_deletion(
        owner_url(settings), who, grace=timedelta(days=waits), operator=operator()
    )
    _tell(who, f"is signed out, and deleted at {run(work):%Y-%m-%d %H:%M} UTC.")


@commands.command("remove-second-factors")
def users_remove_second_factors(who: Who) -> None:
    """Has an account ask for no second factor any more. Make sure first who it is that asks."""
    from db.factors.operating import remove_second_factors

    work = remove_second_factors(owner_url(get_settings()), who, operator())
    _tell(who, "is asked for no second factor any more." if run(work) else "is asked for none.")


def _tell(who: str, what: str) -> None:
    console.print(f"{who.strip()} {what}", markup=False, soft_wrap=True)
