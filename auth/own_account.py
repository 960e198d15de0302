"""What members change about the way they sign in: their password and their address."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from auth.accounts import wrong_password
from auth.codes import Codes, code_invalid
from auth.limited_attempts import notes_limits
from auth.password_guesses import PasswordGuesses
from auth.services import AccountServices
from db.accounts import emails, operations, rules
from db.accounts import sessions as account_sessions
from db.accounts.operations import ChangedEmail, OwnCredentials
from db.audit.operations import record_audit
from db.codes.operations import CodePurpose, end_codes
from db.codes.operations import request_email_change as request_change
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode, bad_input
from db.core.pool import Transaction
from db.emails.operations import queue_email
from db.undoing.operations import offer_undoing


class OwnAccount:
    """Changes of password and address, of one process."""

    def __init__(self, services: AccountServices) -> None:
        self._database = services.database
        self._passwords = services.passwords
        self._attempts = services.attempts
        self._failures = services.failures
        self._sessions = services.sessions
        self._codes = Codes(services)
        self._guesses = services.of(PasswordGuesses.of)
        self._blocked_words = services.settings.blocked_words

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of a process."""
        return cls(services)

    @notes_limits("password")
    async def change_password(
        self, actor: Actor, current: str, password: str, *, network: str = ""
    ) -> None:
        """Sets a new password for who knows the old one; all their other sessions end."""
        assert actor.user_id is not None
        password = rules.normalise_password(password)
        own = await self._credentials(actor)
        rules.check_new_password(
            password, "newPassword", (own.email, own.username, *self._blocked_words)
        )
        if own.email is None:
            raise wrong_password("currentPassword")
        account = emails.email_key(own.email)
        async with self._attempts.attempt(network, account) as asker:
            async with self._database.transaction(SERVICE) as transaction:
                await self._guesses.begin(transaction, account, actor.user_id, network)
            forms = rules.hashed_forms(current)
            if not (await self._passwords.verify_any(own.password_hash, forms, asker)).ok:
                raise wrong_password("currentPassword")
            password_hash = await self._passwords.hash(password, asker)
        async with self._database.transaction(SERVICE) as transaction:
            if not await operations.lock_password(transaction, actor.user_id, own.changed_at):
                raise wrong_password("currentPassword")
            await operations.set_password(transaction, actor.user_id, password_hash)
            await self._guesses.forget(transaction, account, network)
            await end_codes(transaction, actor.user_id)
            ended = await account_sessions.revoke_user_sessions(
                transaction, actor.user_id, "password_changed", but=actor.session_id
            )
            await record_audit(transaction, actor.user_id, "password_changed")
            await queue_email(
                transaction,
                template="password_changed",
                recipient=own.email,
                locale=own.locale,
                user_id=actor.user_id,
            )
        self._sessions.ended(ended)

    @notes_limits("code")
    async def request_email_change(self, actor: Actor, email: str, *, network: str = "") -> None:
        """Mails a code to the new address. One that is somebody else's is told so, by mail."""
        assert actor.user_id is not None
        address = _checked(email)
        key = emails.email_key(address)
        own = await self._credentials(actor)
        if address == own.email:
            raise bad_input("The account has this e-mail address already.", "input", "newEmail")
        async with self._database.transaction(SERVICE) as transaction:
            await self._codes.count_request(transaction, network)
            place = self._codes.place(key, network)
            await request_change(transaction, actor.user_id, address, key, place)

    @notes_limits("email")
    async def confirm_email_change(self, actor: Actor, code: str, *, network: str = "") -> None:
        """Gives the account the address that the code was mailed to; other sessions end."""
        assert actor.user_id is not None
        user_id = actor.user_id
        async with self._attempts.attempt(network, str(user_id)):
            proof = await self._codes.prove(
                CodePurpose.CHANGE_EMAIL, code, network, user_id=user_id
            )
            async with self._database.transaction(SERVICE) as transaction:
                used = await proof.use(transaction)
                changed = await operations.change_email(transaction, user_id, used.email)
                if changed is None:
                    raise code_invalid()
                # They were sent to the old address, whoever reads that now.
                await end_codes(transaction, user_id)
                ended = await account_sessions.revoke_user_sessions(
                    transaction, user_id, "email_changed", but=actor.session_id
                )
                await record_audit(transaction, user_id, "email_changed")
                await _tell_old_address(transaction, user_id, changed, proof.network_hash)
        self._sessions.ended(ended)

    async def _credentials(self, actor: Actor) -> OwnCredentials:
        assert actor.user_id is not None
        async with self._database.transaction(SERVICE) as transaction:
            own = await operations.find_own_credentials(transaction, actor.user_id)
        if own is None:
            raise DomainError(
                ErrorCode.FORBIDDEN, "A guest has no password and no e-mail address: sign up first."
            )
        return own


async def _tell_old_address(
    transaction: Transaction, user_id: UUID, changed: ChangedEmail, network_hash: bytes
) -> None:
    """Mails what takes the change back; not to an address that nobody has proven to be theirs."""
    if changed.before is None:
        return
    if changed.was_confirmed:
        key = emails.email_key(changed.before)
        await offer_undoing(transaction, user_id, changed.before, key, network_hash)
        return
    await queue_email(
        transaction, template="email_changed", recipient=changed.before, user_id=user_id
    )


def _checked(email: str) -> str:
    try:
        return emails.check_new_email(email)
    except DomainError as error:
        raise bad_input(error.message, "input", "newEmail") from None
