"""Ways into an account by a code that was mailed: signing in with it, and a new password."""

from __future__ import annotations

from typing import Self

from auth.codes import Codes, claimed_account
from auth.limited_attempts import notes_limits
from auth.password_guesses import PasswordGuesses
from auth.services import AccountServices
from auth.sessions import SignInResult
from db.accounts import emails, operations, rules
from db.accounts import sessions as account_sessions
from db.accounts.assurance import SignInMethod
from db.api_keys.operations import end_api_keys
from db.audit.operations import record_audit
from db.codes.operations import CodePurpose, end_codes, owner_names
from db.core.actor import SERVICE
from db.emails.operations import queue_email
from db.factors.rules import named_passkeys
from db.undoing.operations import end_passkeys_at_reset


class Recovery:
    """Signing in by code, and resetting passwords, of one process."""

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

    @notes_limits("email")
    async def sign_in(
        self, email: str | None, code: str, *, network: str = "", user_agent: str | None = None
    ) -> SignInResult:
        """Opens a session for who reads what is sent to the account's address."""
        async with self._attempts.attempt(network, _account_key(email)):
            proof = await self._codes.prove(CodePurpose.SIGN_IN, code, network, email=email)
            async with self._database.transaction(SERVICE) as transaction:
                used = await proof.use(transaction)
                account, claimed = await claimed_account(transaction, used)
                session = await self._sessions.open(
                    transaction,
                    account,
                    method=SignInMethod.EMAIL,
                    user_agent=user_agent,
                    network=network,
                )
        self._sessions.ended(claimed.ended_sessions)
        return self._sessions.signed_in(account, session, password_required=claimed.password_ended)

    @notes_limits("password_reset")
    async def reset_password(
        self,
        email: str | None,
        code: str,
        password: str,
        *,
        removes_passkeys: bool = False,
        network: str = "",
        user_agent: str | None = None,
    ) -> SignInResult:
        """Sets a new password; every other session, code and API key ends.

        So do passkeys that were added lately and sign in by themselves, and with `removes_passkeys`
        older ones. A second factor stays.
        """
        password = rules.normalise_password(password)
        rules.check_new_password(password, "newPassword", (email, *self._blocked_words))
        async with self._attempts.attempt(network, _account_key(email)) as asker:
            proof = await self._codes.prove(CodePurpose.RESET_PASSWORD, code, network, email=email)
            async with self._database.transaction(SERVICE) as transaction:
                names = await owner_names(transaction, proof.code_ids)
            rules.check_new_password(password, "newPassword", names)
            # A wrong code costs no hash, of whatever address; the code is used up only with it.
            password_hash = await self._passwords.hash(password, asker)
            async with self._database.transaction(SERVICE) as transaction:
                used = await proof.use(transaction)
                account, claimed = await claimed_account(transaction, used)
                await operations.set_password(transaction, account.user_id, password_hash)
                await self._guesses.forget(transaction, emails.email_key(used.email), network)
                await end_codes(transaction, account.user_id)
                await end_api_keys(transaction, account.user_id)
                kept = await end_passkeys_at_reset(
                    transaction, account.user_id, also_older=removes_passkeys
                )
                ended = await account_sessions.revoke_user_sessions(
                    transaction, account.user_id, "password_reset"
                )
                await record_audit(transaction, account.user_id, "password_reset")
                await queue_email(
                    transaction,
                    template="password_was_reset",
                    recipient=used.email,
                    locale=await operations.find_locale(transaction, account.user_id),
                    user_id=account.user_id,
                    parameters={"passkeys": named_passkeys(kept)} if kept else None,
                )
                session = await self._sessions.open(
                    transaction,
                    account,
                    method=SignInMethod.EMAIL,
                    user_agent=user_agent,
                    network=network,
                )
        self._sessions.ended([*claimed.ended_sessions, *ended])
        return self._sessions.signed_in(account, session)


def _account_key(email: str | None) -> str:
    return emails.email_key(email) if email and emails.could_be_email(email) else ""
