"""Our server with profiles of an organization in the place of a user's, so that both compare.

`bench/membership.py` gives every user an organization with the id of theirs: the rows of a list are
the same under both rules, and only how access to them is decided differs.
"""

from __future__ import annotations

from dataclasses import replace

from cli.main import main
from db.core.access import Member
from db.profiles.tables import Profile

BY_MEMBERSHIP = replace(Profile.access, read=Member("user_id"))


def declare() -> None:
    """Lets the members of an organization read its profiles, and nobody else."""
    Profile.access = BY_MEMBERSHIP
    Profile.__table__.info["access"] = BY_MEMBERSHIP  # type: ignore[attr-defined]


if __name__ == "__main__":
    declare()
    main()
