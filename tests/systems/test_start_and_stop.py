"""One command starts everything, any end of it stops everything, and the data stays."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from db.embedded.cluster import Cluster
from settings import Settings
from tests.running import RunningServer, run_command, running_server, start_server_as_is

CREDENTIALS = "input: {email: $email, password: $password}"
SIGN_UP = f"mutation($email: String!, $password: String!) {{ signUp({CREDENTIALS}) {{ session {{ accessToken refreshToken }} errors {{ code }} }} }}"
SIGN_IN = f"mutation($email: String!, $password: String!) {{ signIn({CREDENTIALS}) {{ session {{ accessToken refreshToken }} errors {{ code }} }} }}"
ORPHAN_SECONDS = 30


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory on a path with spaces, which the tests use one after the other."""
    return tmp_path_factory.mktemp("a home with spaces") / "my data"


def cluster_of(data_directory: Path) -> Cluster:
    return Cluster.of(Settings(data_directory=data_directory))


def postgres_processes(data_directory: Path) -> list[psutil.Process]:
    """The server processes that work in the data folder of this deployment."""
    folder = str(cluster_of(data_directory).data)
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and process.cwd() == folder:
                found.append(process)
        except psutil.Error:
            continue  # it ended while we looked, or is none of ours
    return found


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def account(url: str, text: str, email: str, password: str) -> httpx.Response:
    variables = {"email": email, "password": password}
    return httpx.post(
        f"{url}/graphql", json={"query": text, "variables": variables}, timeout=30
    ).raise_for_status()


def test_a_second_start_says_where_the_first_one_is(server: RunningServer) -> None:
    second = run_command(server.data_directory, "dev")
    assert second.returncode == 0
    assert server.url in second.stderr
    assert httpx.get(f"{server.url}/readyz").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(home: Path, number: signal.Signals) -> None:
    server = start_server_as_is(home)
    assert postgres_processes(home)
    assert httpx.get(f"{server.url}/readyz").status_code == 200
    server.process.send_signal(number)
    assert server.process.wait(20) == 0
    assert postgres_processes(home) == []
    assert "Stopped." in server.log.read_text()
    assert "Traceback" not in server.log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz")


def test_after_a_kill_nothing_is_left_but_the_data(home: Path) -> None:
    email, password = f"{uuid4()}@example.test", "correct horse"
    server = start_server_as_is(home)
    assert not account(server.url, SIGN_UP, email, password).json()["data"]["signUp"]["errors"]
    server.process.kill()
    server.process.wait(5)
    wait_until(lambda: postgres_processes(home) == [], ORPHAN_SECONDS)
    with running_server(home) as again:
        payload = account(again.url, SIGN_IN, email, password).json()["data"]["signIn"]
        assert payload["errors"] == []
        assert payload["session"]["accessToken"]
    assert postgres_processes(home) == []


def test_reset_removes_all_data_once_the_server_is_stopped(home: Path) -> None:
    if not cluster_of(home).data.exists():  # when this test is run alone
        start_server_as_is(home).stop()
    (home / "storage").mkdir(exist_ok=True)
    assert run_command(home, "db", "reset", "--yes").returncode == 0
    assert not cluster_of(home).directory.exists()
    assert not (home / "storage").exists()


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run_command(tmp_path / "data", "dev", PORT=str(port))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"127.0.0.1 port {port}: Address already in use" in " ".join(done.stderr.split())
    assert f"PORT={port + 1}" in done.stderr
    assert postgres_processes(tmp_path / "data") == []


def json_lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def test_each_request_is_one_structured_line(server: RunningServer) -> None:
    response = httpx.post(f"{server.url}/graphql", json={"query": "{ __typename }"})
    request_id = response.headers["x-request-id"]

    def lines() -> list[dict[str, object]]:
        return [line for line in json_lines(server.log) if line.get("request_id") == request_id]

    wait_until(lambda: bool(lines()), 5)
    (line,) = lines()
    assert (line["event"], line["level"], line["status"]) == ("request", "info", 200)
    assert line["timestamp"]
    assert isinstance(line["milliseconds"], float)


def logs_of(server: RunningServer) -> str:
    """All that the server and its database have logged."""
    cluster = cluster_of(server.data_directory)
    paths = [server.log, cluster.startup_log, *(cluster.data / "log").iterdir()]
    return "\n".join(path.read_text(errors="replace") for path in paths if path.exists())


def test_no_secret_is_ever_logged(server: RunningServer) -> None:
    canary = uuid4().hex
    email = f"{uuid4()}@example.test"
    session = account(server.url, SIGN_UP, email, f"{canary}-up").json()["data"]["signUp"][
        "session"
    ]
    account(server.url, SIGN_IN, email, f"{canary}-in")
    account(server.url, SIGN_UP, email, f"{canary}-again")
    account(server.url, SIGN_UP, f"bad\x00{canary}", f"{canary}-nul")
    for text in ("{ viewer { id } }", f'{{ node(id: "{canary}" }}', f"{{ {canary} }}"):
        for authorization in (f"Bearer {canary}.b.c", f"Bearer {session['accessToken']}"):
            httpx.post(
                f"{server.url}/graphql",
                json={"query": text},
                headers={"Authorization": authorization},
            )
    httpx.get(f"{server.url}/files/uploads/x?signature={canary}")
    last = httpx.post(f"{server.url}/graphql", json={"query": "{ __typename }"})
    wait_until(lambda: last.headers["x-request-id"] in server.log.read_text(), 5)
    logged = logs_of(server)
    assert canary not in logged
    assert session["accessToken"] not in logged
    assert session["refreshToken"] not in logged
    assert email not in logged
    kept = list((server.data_directory / "secrets").iterdir())
    assert kept
    for path in kept:
        assert path.stat().st_mode & 0o077 == 0, f"{path.name} can be read by others"
        for secret in (path.read_text().strip(), *private_parts(path)):
            assert secret not in logged, path.name


def private_parts(path: Path) -> list[str]:
    """The private halves in a file of keys."""
    if path.suffix != ".json":
        return []
    keys = json.loads(path.read_text())
    found = keys if isinstance(keys, list) else keys["keys"]
    return [key["d"] for key in found]


def test_a_start_in_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder")
    done = run_command(place / "data", "dev")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert os.fspath(place) in "".join(done.stderr.split())
