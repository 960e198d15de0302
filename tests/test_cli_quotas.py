"""`tallygraph quotas` lists the limits, sets them and takes them back."""

from __future__ import annotations

import asyncpg

from tests.running import RunningServer, run_command


def lines_of(server: RunningServer) -> dict[tuple[str, str], str]:
    shown = run_command(server.data_directory, "quotas", COLUMNS="120")
    assert shown.returncode == 0, shown.stderr
    words = [line.split() for line in shown.stdout.splitlines()]
    return {(w[0], w[1]): " ".join(w[2:]) for w in words if len(w) > 4}


async def test_a_limit_is_set_and_taken_back(server: RunningServer) -> None:
    usual = lines_of(server)
    assert usual["profiles", "GUEST"] == "200 25.0 default"
    owner = await asyncpg.connect(server.owner_url)
    try:
        for audience, options, said, shown in (
            ("pro", ("--rows", "20000"), "pro: 20000 profiles, 250 MB.", "20,000 250.0 you"),
            ("GUEST", ("--megabytes", "1.5"), "GUEST: 200 profiles, 1.5 MB.", "200 1.5 you"),
        ):
            done = run_command(
                server.data_directory, "quotas", "set", "profiles", audience, *options
            )
            assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
            assert lines_of(server)["profiles", audience] == shown
            back = run_command(server.data_directory, "quotas", "reset", "profiles", audience)
            assert back.returncode == 0, back.stderr
        assert lines_of(server) == usual
        noted = await owner.fetch("select detail from audit_log where action = 'set_quota'")
        assert len(noted) == 4
    finally:
        await owner.close()


def test_what_is_not_there_is_said_with_what_is(server: RunningServer) -> None:
    for given, said in (
        (("set", "profile", "GUEST", "--rows", "1"), ", profiles, "),
        (("set", "profiles", "gold", "--rows", "1"), "GUEST, MEMBER, enterprise, free, pro"),
        (("set", "profiles", "pro"), "--rows, --megabytes or both"),
        (("reset", "profiles", "pro"), "Nobody has set profiles for pro"),
    ):
        refused = run_command(server.data_directory, "quotas", *given, COLUMNS="200")
        assert refused.returncode == 1
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
