"""Signing up where an address must be confirmed first: no account is there until it is."""

from __future__ import annotations

from typing import Any, Self
from uuid import UUID

from auth.budgets import AccountBudgets
from auth.codes import Codes, active_account, claimed_account, code_invalid
from auth.limited_attempts import notes_limits
from auth.services import AccountServices
from auth.sessions import SignInResult
from auth.signed_ids import SignedIds
from auth.turns import Turns
from db.accounts import emails, operations
from db.accounts import sessions as account_sessions
from db.accounts.assurance import SignInMethod
from db.accounts.new_accounts import NewAccount
from db.accounts.operations import Account
from db.accounts.users import free_username, refuse_taken_username
from db.audit.operations import record_audit
from db.codes import operations as codes_operations
from db.codes.operations import Claimed, CodePurpose, UsedCode
from db.codes.rules import SignUp, choose_sign_up
from db.core.actor import NOBODY, SERVICE, Actor
from db.core.errors import DomainError, ErrorCode
from db.core.outages import unavailable
from db.core.pool import Transaction
from db.notifications.operations import welcome

# Sign-ups of one network that wait to be kept.
WAITING_PER_NETWORK = 64


class SignUps:
    """Sign-ups of one process that are confirmed by mail."""

    def __init__(self, services: AccountServices) -> None:
        self._database = services.database
        self._passwords = services.passwords
        self._attempts = services.attempts
        self._failures = services.failures
        self._sessions = services.sessions
        self._codes = Codes(services)
        self._tokens = SignedIds(services.settings, "sign_up")
        self._budgets = AccountBudgets(services.settings)
        self._turns = Turns[str](WAITING_PER_NETWORK)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of a process."""
        return cls(services)

    @notes_limits("sign_up")
    async def begin(
        self, new: NewAccount, *, network: str = "", anonymous: Actor | None = None
    ) -> str:
        """Keeps a sign-up and mails its code. For a known address the same work is done.

        Gives the sign-up's token: who has it when they confirm has chosen its password.
        """
        self._budgets.refuse_early(network, is_guest=False)
        key = emails.email_key(new.email)
        guest = anonymous.user_id if anonymous is not None and anonymous.is_anonymous else None
        async with self._attempts.attempt(network, key) as asker:
            salt = self._codes.sign_up_salt(key)
            password_hash = await self._passwords.hash(new.password, asker, salt=salt)
            sign_up = SignUp(new.email, password_hash, new.username, new.locale, guest)
            place = self._codes.place(key, network)
            async with self._turns.of(network), self._database.transaction(SERVICE) as transaction:
                await refuse_taken_username(transaction, new.username)
                await self._budgets.open_account(transaction, network, is_guest=False)
                kept = await codes_operations.begin_sign_up(transaction, sign_up, key, place)
        return self._tokens.token(kept)

    @notes_limits("email")
    async def confirm(
        self,
        email: str | None,
        code: str,
        *,
        token: str | None = None,
        network: str = "",
        user_agent: str | None = None,
        actor: Actor = NOBODY,
    ) -> SignInResult:
        """Opens the account that waits for this code, or confirms the address of one, and signs in.

        The bonus comes with it: a confirmed address answers for itself. `token` is that of the
        sign-up that was made where the code is typed, and `actor` who is signed in there: a guest
        becomes what they signed up as themselves, and a member who confirms their own address keeps
        everything.
        """
        own_id = self._tokens.row_id(token) if token else None
        key = emails.email_key(email) if email and emails.could_be_email(email) else ""
        async with self._attempts.attempt(network, key):
            proof = await self._codes.prove(CodePurpose.CONFIRM_EMAIL, code, network, email=email)
            async with self._database.transaction(SERVICE) as transaction:
                used = await proof.use(transaction)
                if used.user_id is not None:
                    account, claimed = await self._confirm_own(transaction, used, actor)
                else:
                    account, claimed = await self._open(
                        transaction, used, proof.network_hash, actor, own_id
                    )
                bonus = await operations.grant_sign_up_bonus(transaction, account.user_id)
                session = await self._sessions.open(
                    transaction,
                    account,
                    method=SignInMethod.EMAIL,
                    user_agent=user_agent,
                    network=network,
                    is_new=used.user_id is None,
                )
        self._sessions.ended(claimed.ended_sessions)
        return self._sessions.signed_in(
            account, session, bonus, password_required=claimed.password_ended
        )

    async def _confirm_own(
        self, transaction: Transaction, used: UsedCode, actor: Actor
    ) -> tuple[Account, Claimed]:
        """The account whose address is confirmed, and what ends of it."""
        if actor.session_id is not None and actor.user_id == used.user_id:
            account, claimed = await active_account(transaction, used), Claimed()
        else:
            account, claimed = await claimed_account(transaction, used)
        await record_audit(transaction, used.user_id, "email_confirmed")
        return account, claimed

    async def _create(self, transaction: Transaction, new: dict[str, Any]) -> Account:
        try:
            return await operations.create_user(transaction, **new)
        except DomainError as error:
            if error.code is ErrorCode.USERNAME_IN_USE:
                # Taken since it was looked at; the next attempt makes another one up.
                raise unavailable() from None
            raise

    async def _open(
        self,
        transaction: Transaction,
        used: UsedCode,
        network_hash: bytes,
        actor: Actor,
        own_id: UUID | None,
    ) -> tuple[Account, Claimed]:
        """The account that somebody signed up for; and the sessions of the guest that it was."""
        assert used.sign_up_id is not None
        waiting = await codes_operations.take_sign_ups(
            transaction, emails.email_key(used.email), network_hash
        )
        sign_up = choose_sign_up(
            waiting,
            used.sign_up_id,
            own_id=own_id,
            guest_id=actor.user_id if actor.is_anonymous else None,
            is_resent=used.is_resent,
        )
        if sign_up is None:
            raise code_invalid()
        new: dict[str, Any] = {
            "email": sign_up.email,
            "is_confirmed": True,
            # Somebody may have taken the name meanwhile; it is no reason to refuse its owner.
            "username": await free_username(transaction, sign_up.username),
            "locale": sign_up.locale,
        }
        account, ended = None, list[UUID]()
        if sign_up.guest_id is not None:
            account = await operations.convert_guest(transaction, sign_up.guest_id, **new)
        is_converted = account is not None
        account = account or await self._create(transaction, new)
        if is_converted:
            ended = await account_sessions.revoke_user_sessions(
                transaction, account.user_id, "converted"
            )
        if sign_up.password_hash is not None:
            await operations.create_credentials(transaction, account.user_id, sign_up.password_hash)
        detail = {"converted": True} if is_converted else {}
        await record_audit(transaction, account.user_id, "sign_up", **detail)
        await welcome(transaction, account.user_id)
        return account, Claimed(tuple(ended), sign_up.password_hash is None)
