"""Which sign-up becomes the account when several wait for one address: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SignUp:
    """What somebody signed up with, to be made an account once they have proven their address.

    Without `password_hash` nobody knows which password its owner chose.
    """

    email: str
    password_hash: str | None
    username: str | None = None
    locale: str | None = None
    guest_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class WaitingSignUp:
    """A sign-up with an address; `is_here` when it was made at the network that confirms.

    `is_mailed` says that a code of it is still with the address's owner.
    """

    id: UUID
    is_here: bool
    is_over: bool
    is_mailed: bool
    sign_up: SignUp


def choose_sign_up(
    waiting: Sequence[WaitingSignUp],
    named_id: UUID,
    *,
    own_id: UUID | None,
    guest_id: UUID | None,
    is_resent: bool,
) -> SignUp | None:
    """The sign-up that a code confirms; None when it has ended.

    The code proves whose the address is, not which of the sign-ups is theirs: anybody can sign up
    with it, also when nobody else does. What counts is the one that who confirms has made: they
    have its token (`own_id`), or are the guest who made it. Without either it is the one that the
    code names, or one with the same password, where that was made at the network that confirms, as
    long as its owner had the codes of the others made there, too, to choose from; a resent code
    says nothing of whose it is. Otherwise the address is all that is taken: no password, name or
    guest.
    """
    named = next((one for one in waiting if one.id == named_id), None)
    if named is None:
        return None
    others = [one for one in waiting if not one.is_over and one is not named]
    all_of_them = (named, *others)
    own = [one for one in all_of_them if own_id == one.id]
    own += [one for one in all_of_them if guest_id and one.sign_up.guest_id == guest_id]
    if own:
        return own[0].sign_up
    rivals = [o for o in others if o.sign_up.password_hash != named.sign_up.password_hash]
    could_choose = all(one.is_mailed and not is_resent for one in rivals if one.is_here)
    is_here = any(one.is_here for one in all_of_them if one not in rivals)
    if is_here and could_choose:
        return named.sign_up
    return replace(named.sign_up, password_hash=None, username=None, guest_id=None)
