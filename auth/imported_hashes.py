"""bcrypt hashes of imported users: verified at their next sign-in, which replaces them.

Sign-ins of everybody do the same work while there is any such hash, so that the time of a wrong
password tells neither who was imported nor who has an account.
"""

from __future__ import annotations

from functools import cache

from db.imports.rules import cost_of

# What bcrypt reads of a password; those who made the hashes cut off the rest.
PASSWORD_BYTES = 72


def is_right(password_hash: str | None, password: str, work_cost: int) -> bool:
    """Whether a password made a bcrypt hash; the work is that of `work_cost` whatever it is.

    Without a hash, too. A hash of a higher cost takes what it takes.
    """
    import bcrypt

    data = password.encode()[:PASSWORD_BYTES]
    cost = cost_of(password_hash) if password_hash else None
    if cost is None or password_hash is None:
        bcrypt.checkpw(data, _hash_that_matches_nothing(work_cost))
        return False
    # Each step of the cost doubles the work: what a cheaper hash lacks is its own work once more,
    # and that of each cost between.
    for missing in range(cost, work_cost):
        bcrypt.checkpw(data, _hash_that_matches_nothing(missing))
    # The three names are of the same algorithm, after faults in others' programs were mended.
    return bcrypt.checkpw(data, f"$2b${password_hash[4:]}".encode())


@cache
def _hash_that_matches_nothing(cost: int) -> bytes:
    """A well-formed hash whose digest is no password's."""
    return f"$2b${cost:02}${'.' * 53}".encode()
