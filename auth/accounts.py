"""Signing up, in and out: hashing and tokens around the operations on accounts.

No transaction is open while a password is hashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from auth.attempts import Attempts
from auth.budgets import AccountBudgets
from auth.failed_attempts import FailedAttempts
from auth.limited_attempts import notes_limits
from auth.password_guesses import PasswordGuesses
from auth.passwords import PasswordHasher
from auth.places import Places
from auth.refresh_tokens import is_refresh_token, successor_of, token_hash
from auth.sessions import OpenedSession, Sessions, SignedIn, SignInResult
from auth.tokens import AccessTokens, unauthenticated
from auth.turns import Turns
from db.accounts import emails, operations, rules
from db.accounts import sessions as account_sessions
from db.accounts.assurance import SignInMethod
from db.accounts.new_accounts import NewAccount, check_new_account
from db.accounts.operations import Account, Credentials
from db.accounts.users import refuse_taken_username
from db.audit.actions import AuditAction
from db.codes.operations import find_sign_up_hashes
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode
from db.core.fair_queue import Asker
from db.core.origin import coarse_network
from db.core.pool import Database, Transaction
from db.imports.operations import find_imported_cost
from db.notifications.operations import welcome
from db.play.operations import note_guest_holders
from settings import Settings

# Accounts of one network that wait to be opened.
WAITING_PER_NETWORK = 64


class Accounts:
    """The ways into and out of an account."""

    def __init__(
        self,
        database: Database,
        passwords: PasswordHasher,
        attempts: Attempts,
        failures: FailedAttempts,
        tokens: AccessTokens,
        sessions: Sessions,
        settings: Settings,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._tokens = tokens
        self._sessions = sessions
        self._attempts = attempts
        self._failures = failures
        self._budgets = AccountBudgets(settings)
        self._turns = Turns[str](WAITING_PER_NETWORK)
        self._refresh_key = settings.secret("refresh-token-key").encode()
        self._confirms_email = settings.confirms_email
        self._blocked_words = settings.blocked_words
        self._places = Places(settings)
        self._guesses = PasswordGuesses(settings)
        self._reuse_window = timedelta(seconds=settings.refresh_reuse_seconds)

    @notes_limits("sign_up")
    async def sign_up(
        self,
        email: str,
        password: str,
        username: str | None = None,
        locale: str | None = None,
        *,
        network: str = "",
        user_agent: str | None = None,
        anonymous: Actor | None = None,
    ) -> SignInResult:
        """Open an account; an anonymous actor keeps id, data and wallet and gains the e-mail.

        `network` is where it is opened from, and what pays for it.
        """
        new = check_new_account(
            email, password, username, locale, blocked_words=self._blocked_words
        )
        self._budgets.refuse_early(network, is_guest=False)
        async with self._attempts.attempt(network, emails.email_key(new.email)) as asker:
            # Before anything is looked up, so that a known address takes as long as an unknown one.
            password_hash = await self._passwords.hash(new.password, asker)
            async with self._turns.of(network):
                await self._refuse_known(new, network)
                return await self._open_account(new, password_hash, network, user_agent, anonymous)

    async def _open_account(
        self,
        new: NewAccount,
        password_hash: str,
        network: str,
        user_agent: str | None,
        anonymous: Actor | None,
    ) -> SignInResult:
        if anonymous is not None and anonymous.is_anonymous:
            return await self._convert(anonymous, new, password_hash, network, user_agent)
        async with self._database.transaction(SERVICE) as transaction:
            await self._budgets.open_account(transaction, network, is_guest=False)
            account = await operations.create_user(
                transaction, email=new.email, username=new.username, locale=new.locale
            )
            await operations.create_credentials(transaction, account.user_id, password_hash)
            bonus = await self._grant_bonus(transaction, account, network)
            session = await self._sessions.open(
                transaction,
                account,
                method=SignInMethod.PASSWORD,
                user_agent=user_agent,
                network=network,
                is_new=True,
            )
            await operations.record_audit(
                transaction, account.user_id, "sign_up", method="password"
            )
            await welcome(transaction, account.user_id)
        return self._sessions.signed_in(account, session, bonus)

    @notes_limits("guest")
    async def sign_in_anonymously(
        self, *, network: str = "", device_id: str | None = None, user_agent: str | None = None
    ) -> SignInResult:
        """Open an account without e-mail or password."""
        if device_id is not None:
            rules.check_device_id(device_id)
        self._budgets.refuse_early(network, is_guest=True)
        async with self._turns.of(network), self._database.transaction(SERVICE) as transaction:
            await self._budgets.open_account(transaction, network, is_guest=True)
            account = await operations.create_user(transaction, email=None)
            bonus = await self._grant_bonus(transaction, account, network, device_id)
            held = self._budgets.play_holders(network, device_id)
            await note_guest_holders(transaction, account.user_id, held)
            session = await self._sessions.open(
                transaction,
                account,
                method=SignInMethod.GUEST,
                user_agent=user_agent,
                network=network,
                is_new=True,
            )
            await operations.record_audit(
                transaction, account.user_id, "sign_up", method="guest", anonymous=True
            )
        return self._sessions.signed_in(account, session, bonus)

    @notes_limits("password")
    async def sign_in(
        self, email: str, password: str, *, network: str = "", user_agent: str | None = None
    ) -> SignInResult:
        """Open a session; a wrong password, an unknown e-mail and a locked account look alike."""
        forms = rules.hashed_forms(password)
        if not forms:
            raise _invalid_credentials()
        is_email = emails.could_be_email(email)
        account = emails.email_key(email) if is_email else ""
        async with self._attempts.attempt(network, account) as asker:
            credentials = None
            if is_email:
                async with self._database.transaction(SERVICE) as transaction:
                    credentials = await operations.find_credentials(transaction, email)
                    self._passwords.imported_cost = await find_imported_cost(transaction)
                    user_id = credentials.user_id if credentials else None
                    await self._guesses.begin(transaction, account, user_id, network)
            stored_hash = credentials.password_hash if credentials else None
            verified = await self._passwords.verify_any(stored_hash, forms, asker)
            if credentials is None or not verified.ok:
                user_id = credentials.user_id if credentials else None
                self._failures.note(user_id, AuditAction.SIGN_IN_FAILED, "password")
                await self._refuse_unconfirmed(account, forms, network, asker)
                raise _invalid_credentials()
            if self._confirms_email and not credentials.is_confirmed:
                raise email_not_confirmed()
            return await self._open_verified(credentials, verified.new_hash, network, user_agent)

    async def _refuse_unconfirmed(
        self, account: str, forms: Sequence[str], network: str, asker: Asker
    ) -> None:
        """Tells who signed up at this network that they must confirm their address first.

        A sign-up waits there whether the address had an account already or not, so the answer and
        its work tell nothing of that.
        """
        if not self._confirms_email:
            return
        async with self._database.transaction(SERVICE) as transaction:
            waiting = await find_sign_up_hashes(
                transaction, account, self._places.network_hash(network)
            )
        if not waiting:
            return
        salt = self._places.sign_up_salt(account)
        if await self._passwords.hash(forms[0], asker, salt=salt) in waiting:
            raise email_not_confirmed()

    async def _open_verified(
        self,
        credentials: Credentials,
        new_hash: str | None,
        network: str,
        user_agent: str | None,
    ) -> SignInResult:
        async with self._database.transaction(SERVICE) as transaction:
            # Locked, deleted or given another password while this one was being verified?
            account = await operations.lock_account_for_share(transaction, credentials)
            if account is None:
                self._failures.note(credentials.user_id, AuditAction.SIGN_IN_REFUSED, "password")
                raise _invalid_credentials()
            if credentials.email_key is not None:
                await self._guesses.forget(transaction, credentials.email_key, network)
            if new_hash:
                await operations.upgrade_password_hash(transaction, credentials, new_hash)
            session = await self._sessions.open(
                transaction,
                account,
                method=SignInMethod.PASSWORD,
                user_agent=user_agent,
                network=network,
            )
        return self._sessions.signed_in(account, session)

    async def refresh(self, refresh_token: str, *, network: str = "") -> SignedIn:
        """Trade a refresh token for its successor and a fresh access token."""
        if not is_refresh_token(refresh_token):
            raise _refresh_refused()
        successor = successor_of(refresh_token, self._refresh_key)
        async with self._database.transaction(SERVICE) as transaction:
            refreshed = await account_sessions.rotate_refresh_token(
                transaction,
                token_hash(refresh_token),
                token_hash(successor),
                session_life=self._sessions.life,
                reuse_window=self._reuse_window,
                address=coarse_network(network),
            )
        # Only here, with the end of a replayed family committed, may the refusal be raised.
        if isinstance(refreshed, account_sessions.RefreshRefused):
            if refreshed.ended_session_id is not None:
                self._tokens.revoke_session(refreshed.ended_session_id)
            raise _sign_in_again() if refreshed.sign_in_is_over else _refresh_refused()
        renewed = OpenedSession(refreshed.session_id, successor, refreshed.assurance)
        return self._sessions.signed_in(refreshed.account, renewed)

    async def sign_out(self, actor: Actor) -> None:
        """End the actor's session; ending it twice, or having none, changes nothing."""
        if actor.session_id is None:
            return
        async with self._database.transaction(SERVICE) as transaction:
            is_ended = await account_sessions.revoke_session(
                transaction, actor.session_id, "sign_out"
            )
            if is_ended:
                await operations.record_audit(transaction, actor.user_id, "sign_out")
        if not is_ended:
            await self.refuse_gone(actor)
        self._tokens.revoke_session(actor.session_id)

    async def refuse_gone(self, actor: Actor) -> None:
        """Raise UNAUTHENTICATED when the actor's account is no more, and end its token here."""
        if actor.user_id is None:
            return
        async with self._database.transaction(SERVICE) as transaction:
            if await operations.user_exists(transaction, actor.user_id):
                return
        if actor.session_id is not None:
            self._tokens.revoke_session(actor.session_id)
        raise unauthenticated("The account of this token is gone; sign in again.")

    async def _refuse_known(self, new: NewAccount, network: str) -> None:
        """In a transaction of its own: what was told counts, though nothing comes of it."""
        async with self._database.transaction(SERVICE) as transaction:
            await refuse_taken_username(transaction, new.username)
            is_known = await operations.email_is_known(transaction, new.email)
            await self._budgets.tell_known_email(transaction, network, is_known=is_known)
        if is_known:
            raise operations.email_in_use()

    async def _grant_bonus(
        self,
        transaction: Transaction,
        account: Account,
        network: str,
        device_id: str | None = None,
    ) -> int:
        with_bonus = await self._budgets.allows_bonus(
            transaction, network, is_guest=account.is_anonymous, device_id=device_id
        )
        return await operations.grant_sign_up_bonus(
            transaction, account.user_id, with_bonus=with_bonus
        )

    async def _convert(
        self,
        anonymous: Actor,
        new: NewAccount,
        password_hash: str,
        network: str,
        user_agent: str | None,
    ) -> SignInResult:
        assert anonymous.user_id is not None
        assert anonymous.session_id is not None
        async with self._database.transaction(SERVICE) as transaction:
            await self._budgets.open_account(transaction, network, is_guest=False)
            account = await operations.convert_anonymous_user(
                transaction,
                anonymous.user_id,
                anonymous.session_id,
                new.email,
                new.username,
                new.locale,
            )
            if account is None:
                raise unauthenticated("This anonymous session has ended; sign in again.")
            await operations.create_credentials(transaction, account.user_id, password_hash)
            bonus = await self._grant_bonus(transaction, account, network)
            ended = await account_sessions.revoke_user_sessions(
                transaction, account.user_id, "converted"
            )
            session = await self._sessions.open(
                transaction,
                account,
                method=SignInMethod.PASSWORD,
                user_agent=user_agent,
                network=network,
                is_new=True,
            )
            await operations.record_audit(
                transaction, account.user_id, "sign_up", method="password", converted=True
            )
            await welcome(transaction, account.user_id)
        self._sessions.ended(ended)
        return self._sessions.signed_in(account, session, bonus)


def _invalid_credentials() -> DomainError:
    return DomainError(
        ErrorCode.INVALID_CREDENTIALS, "The e-mail address or the password is not right."
    )


def wrong_password(field: str) -> DomainError:
    """The refusal of a password that its owner must know."""
    return DomainError(
        ErrorCode.INVALID_CREDENTIALS, "The password is not right.", ("input", field)
    )


def email_not_confirmed() -> DomainError:
    """The refusal of who knows the password and has not proven the address yet."""
    return DomainError(
        ErrorCode.EMAIL_NOT_CONFIRMED,
        "Confirm the e-mail address first: give the code that was mailed to it to confirmEmail, or "
        "ask for another one with resendConfirmation.",
    )


def _sign_in_again() -> DomainError:
    return DomainError(
        ErrorCode.SESSION_EXPIRED,
        "It is long since you signed in on this device. Sign in again.",
        ("input", "refreshToken"),
    )


def _refresh_refused() -> DomainError:
    return unauthenticated("The refresh token is not valid; sign in again.")
