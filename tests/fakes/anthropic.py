"""The Anthropic API as its reference describes streamed `POST /v1/messages`, on a thread of its own.

It refuses what the reference does not have, and misbehaves when a test says so: `script` is how the next
requests are answered, one after the other, `otherwise` all others.
"""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION = "2026-10-21"
KEY = "sk-ant-the-canary-of-this-key"
PIECES = ["They ", "climb, ", "and ask ", "questions ", "back."]
REPLY = "".join(PIECES)
ANALYSIS: dict[str, Any] = {
    "basics": {"name": "Kim", "age": 31},
    "psychological_profile": {"archetype_summary": "A climber who reads."},
    "recommended_openers": [{"type": "match_opener", "message": "Which wall?"}],
    "overall_analysis": {"summary": "Friendly.", "green_flags": ["Asks back"], "red_flags": []},
}
# What the first event tells, and the last: 25 + 100 + 40 read, 60 written.
USAGE = {
    "input_tokens": 25,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 40,
    "output_tokens": 1,
}
WRITTEN_TOKENS = 60
TOKENS = 225
_FIELDS = {"model", "max_tokens", "system", "messages", "metadata", "stream"}
_ERRORS: dict[str, tuple[int, str, dict[str, str]]] = {
    "overloaded": (529, "overloaded_error", {}),
    "too many": (429, "rate_limit_error", {"retry-after": "7"}),
    "too many for an hour": (429, "rate_limit_error", {"retry-after": "3600"}),
    "broken": (500, "api_error", {}),
    "wrong key": (401, "authentication_error", {}),
    "forbidden": (403, "permission_error", {}),
    "no such model": (404, "not_found_error", {}),
    "too long": (400, "invalid_request_error", {}),
}

# Pieces as the reference has none.
_SENSELESS: dict[str, dict[str, Any]] = {
    "a piece of nothing": {},
    "a piece of null": {"delta": {"type": "text_delta", "text": None}},
    "a piece of 5": {"delta": {"type": "text_delta", "text": 5}},
}
_BREAK_OFF = {"overloaded midway", "cut off", "silent midway", *_SENSELESS}


@dataclass(frozen=True)
class AskedClaude:
    """One request: the whole body, and the headers in lower case."""

    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def system(self) -> str:
        return "\n".join(block["text"] for block in self.body["system"])


@dataclass
class FakeAnthropic:
    """The server's address, what it was asked, and who hung up before the end."""

    url: str
    script: list[str] = field(default_factory=list)
    otherwise: str = ""
    asked: list[AskedClaude] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    # What "held" waits for behind its first piece.
    go_on: threading.Event = field(default_factory=threading.Event)

    def forget(self) -> None:
        self.script.clear()
        self.asked.clear()
        self.hung_up.clear()
        self.go_on.clear()
        self.otherwise = ""


def error(kind: str) -> dict[str, Any]:
    # The key stands in it, as if a gateway repeated it.
    return {"type": "error", "error": {"type": kind, "message": f"{kind} for {KEY}"}}


@contextmanager
def fake_anthropic() -> Iterator[FakeAnthropic]:
    """The API for a block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(raw)
            if headers.get("authorization") != f"Bearer {KEY}":
                self.fail(*_ERRORS["wrong key"])
            elif wrong := _wrong(self.path, headers, body):
                self.answer(400, error(f"invalid_request_error: {wrong}"), {})
            else:
                fake.asked.append(AskedClaude(body, headers))
                behaviour = fake.script.pop(0) if fake.script else fake.otherwise
                with suppress(OSError):
                    self.behave(behaviour, "<schema>" in fake.asked[-1].system)

        def behave(self, behaviour: str, is_analysis: bool) -> None:
            if behaviour in _ERRORS:
                self.fail(*_ERRORS[behaviour])
            elif behaviour == "hung up":
                self.close_connection = True
            elif behaviour == "no stream":
                self.answer(200, {"hello": KEY}, {})
            elif behaviour == "never":
                self.wait_until_hung_up(30)
            else:
                self.stream(behaviour, _pieces(behaviour, is_analysis))

        def stream(self, behaviour: str, pieces: list[str]) -> None:
            self.close_connection = True
            self.head(
                200, {"Content-Type": "text/event-stream; charset=utf-8", "Connection": "close"}
            )
            if behaviour != "no beginning":
                message = _message()
                if behaviour == "no usage":
                    del message["usage"]
                self.event("message_start", message=message)
            block = {"type": "text", "text": ""}
            self.event("content_block_start", index=0, content_block=block)
            self.event("ping")
            for number, piece in enumerate(pieces):
                if number == 2 and behaviour in _BREAK_OFF:
                    self.break_off(behaviour)
                    return
                if number == 1 and behaviour == "held":
                    fake.go_on.wait(30)
                if behaviour == "slow" and self.wait_until_hung_up(0.05):
                    return
                delta = {"type": "text_delta", "text": piece}
                self.event("content_block_delta", index=0, delta=delta)
            while behaviour == "endless":
                delta = {"type": "text_delta", "text": "and so on " * 100}
                self.event("content_block_delta", index=0, delta=delta)
            self.event("content_block_stop", index=0)
            reason = {"refused": "refusal", "max tokens": "max_tokens"}.get(behaviour, "end_turn")
            self.event(
                "message_delta",
                delta={"stop_reason": reason, "stop_sequence": None},
                **({} if behaviour == "no usage" else {"usage": {"output_tokens": WRITTEN_TOKENS}}),
            )
            self.event("message_stop")

        def break_off(self, behaviour: str) -> None:
            if behaviour == "overloaded midway":
                self.wfile.write(
                    f"event: error\ndata: {json.dumps(error('overloaded_error'))}\n\n".encode()
                )
            elif behaviour == "silent midway":
                self.wait_until_hung_up(30)
            elif behaviour in _SENSELESS:
                self.event("content_block_delta", index=0, **_SENSELESS[behaviour])

        def event(self, kind: str, **data: Any) -> None:
            text = json.dumps({"type": kind, **data})
            self.wfile.write(f"event: {kind}\ndata: {text}\n\n".encode())
            self.wfile.flush()

        def wait_until_hung_up(self, seconds: float) -> bool:
            readable, _, _ = select.select([self.connection], [], [], seconds)
            if readable and not self.connection.recv(1):
                fake.hung_up.set()
                self.close_connection = True
                return True
            return False

        def fail(self, status: int, kind: str, headers: dict[str, str]) -> None:
            self.answer(status, error(kind), headers)

        def answer(self, status: int, body: Any, headers: dict[str, str]) -> None:
            data = json.dumps(body).encode()
            known = {"Content-Type": "application/json", "Content-Length": str(len(data))}
            self.head(status, {**known, **headers})
            self.wfile.write(data)

        def head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake = FakeAnthropic(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _message() -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": USAGE,
    }


def _pieces(behaviour: str, is_analysis: bool) -> list[str]:
    if behaviour == "nothing":
        return []
    if behaviour == "halves":
        return ["Yes \ud83d", "\ude00", " and\ude00 ", "no\x00\ud83d"]
    if behaviour.startswith("says "):
        return _in_pieces(behaviour.removeprefix("says "))
    if not is_analysis:
        return PIECES
    whole = json.dumps(ANALYSIS)
    text = {
        "half an analysis": whole[:60],
        "age of 7": json.dumps({**ANALYSIS, "basics": {"age": 7}}),
        "fenced": f"Here it is:\n```json\n{whole}\n```\nAnything else?",
        "words": "I cannot do that.",
        "half a character": whole.replace("Friendly", "Friendly \\ud83d"),
        "infinity": whole.replace("{", '{"more": 1e999, ', 1),
    }.get(behaviour, whole)
    return _in_pieces(text)


def _in_pieces(text: str) -> list[str]:
    return [text[at : at + 40] for at in range(0, len(text), 40)]


def _wrong(path: str, headers: dict[str, str], body: dict[str, Any]) -> str:
    """What the reference does not have in a request; empty for a right one."""
    if path != "/v1/messages" or headers.get("anthropic-version") != VERSION:
        return "not found"
    if unknown := body.keys() - _FIELDS:
        return f"{sorted(unknown)[0]}: Extra inputs are not permitted"
    if body.get("stream") is not True or not isinstance(body["max_tokens"], int):
        return "stream, max_tokens"
    blocks = list(body["system"])
    for number, message in enumerate(body["messages"]):
        if message["role"] != ("assistant" if number % 2 else "user"):
            return "messages: roles must alternate, beginning with user"
        content = message["content"]
        blocks += [{"type": "text", "text": content}] if isinstance(content, str) else content
    if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
        return "messages: text content blocks must be non-empty"
    if sum("cache_control" in block for block in blocks) > 4:
        return "A maximum of 4 blocks with cache_control may be provided."
    return ""
