"""The Gemini API as its reference describes `models.generateContent`, on a thread of its own.

It refuses what the reference does not have, and misbehaves when a test says so: `script` is how the next
requests are answered, one after the other, `otherwise` all others.
"""

from __future__ import annotations

import base64
import binascii
import json
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

from PIL import Image

KEY = "AIza-the-canary-of-this-key"
IMAGE_MODEL, ANALYSIS_MODEL = "gemini-2.5-flash-image", "gemini-2.5-flash"
ANALYSIS: dict[str, Any] = {
    "faceShape": "oval",
    "eyeShape": "almond",
    "emotionalExpression": "calm",
    "perceivedAge": 31,
    "symmetryScore": 82.5,
    "youthfulnessScore": 70,
    "skinClarity": 76,
    "skinEvennessScore": 74,
    "jawlineDefinitionScore": 66,
    "cheekboneProminenceScore": 58,
    "lipFullnessScore": 51,
    "goldenRatioScore": 79,
    "overallAnalysis": "A calm, friendly face with even features.",
}
IMAGE_USAGE = {
    "promptTokenCount": 320,
    "candidatesTokenCount": 1290,
    "totalTokenCount": 1610,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 62},
        {"modality": "IMAGE", "tokenCount": 258},
    ],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
}
ANALYSIS_USAGE = {
    "promptTokenCount": 500,
    "candidatesTokenCount": 200,
    "thoughtsTokenCount": 300,
    "totalTokenCount": 1000,
}
_FIELDS = {"contents", "generationConfig", "safetySettings", "systemInstruction"}
_CONFIG = {
    "responseModalities", "candidateCount", "responseMimeType", "responseJsonSchema",
    "maxOutputTokens", "temperature",
}  # fmt: skip


@dataclass(frozen=True)
class AskedModel:
    """One request: the model, the whole body, and the headers in lower case."""

    model: str
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def parts(self) -> list[dict[str, Any]]:
        return [part for content in self.body["contents"] for part in content["parts"]]

    @property
    def text(self) -> str:
        return "\n".join(part["text"] for part in self.parts if "text" in part)

    @property
    def pictures(self) -> list[Image.Image]:
        given = [part["inlineData"]["data"] for part in self.parts if "inlineData" in part]
        return [Image.open(BytesIO(_decoded(data))) for data in given]


@dataclass
class FakeGemini:
    """The server's address, what it was asked, and who hung up before the answer."""

    url: str
    script: list[str] = field(default_factory=list)
    otherwise: str = ""
    asked: list[AskedModel] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    came: threading.Event = field(default_factory=threading.Event)

    def forget(self) -> None:
        self.script.clear()
        self.asked.clear()
        self.hung_up.clear()
        self.came.clear()
        self.otherwise = ""


def _decoded(data: str) -> bytes:
    """Base64 in either alphabet, as JSON of protocol buffers may have it."""
    return base64.b64decode(data.translate(str.maketrans("-_", "+/")), validate=True)


def png(width: int = 96, height: int = 128) -> bytes:
    output = BytesIO()
    Image.radial_gradient("L").resize((width, height)).convert("RGB").save(output, "PNG")
    return output.getvalue()


def answer(*parts: dict[str, Any], finish: str = "STOP", **more: Any) -> dict[str, Any]:
    """A GenerateContentResponse with one candidate."""
    candidate = {
        "content": {"parts": list(parts), "role": "model"},
        "finishReason": finish,
        "index": 0,
    }
    return {"candidates": [candidate], "responseId": "r", **more}


def picture(data: bytes, mime_type: str = "image/png") -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}}


def rpc_error(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """A google.rpc.Status, as the API sends it."""
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def retry_info(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def says(text: str) -> dict[str, Any]:
    """An answer that is a text."""
    return answer({"text": text}, usageMetadata=ANALYSIS_USAGE)


def _analysis(**changes: Any) -> dict[str, Any]:
    text = json.dumps({**ANALYSIS, **changes})
    return answer({"text": text}, usageMetadata=ANALYSIS_USAGE)


def _too_many(delay: str) -> dict[str, Any]:
    quota = {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}],
    }
    # The key stands in it, as if a gateway repeated it.
    message = f"You exceeded your current quota, please check {KEY}."
    return rpc_error(429, "RESOURCE_EXHAUSTED", message, quota, retry_info(delay))


def _bomb() -> bytes:
    """A PNG of 90 megapixels in a few hundred kilobytes."""
    output = BytesIO()
    Image.new("L", (9_000, 10_000)).save(output, "PNG", compress_level=9)
    return output.getvalue()


# What goes out as JSON: a status, a body, and headers.
Said = tuple[int, Any, dict[str, str]]
ANSWERS: dict[str, Callable[[], Said]] = {
    "picture": lambda: (200, answer(picture(png()), usageMetadata=IMAGE_USAGE), {}),
    "picture and words": lambda: (
        200,
        answer(
            {"text": "I think …", "thought": True},
            {"text": "Here it is."},
            picture(png(80, 60)),
            usageMetadata=IMAGE_USAGE,
        ),
        {},
    ),
    "analysis": lambda: (200, _analysis(), {}),
    "score of 140": lambda: (200, _analysis(symmetryScore=140, extra="<b>"), {}),
    "half an analysis": lambda: (
        200,
        answer(
            {"text": json.dumps(ANALYSIS)[:90]}, finish="MAX_TOKENS", usageMetadata=ANALYSIS_USAGE
        ),
        {},
    ),
    "prompt blocked": lambda: (
        200,
        {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": {"promptTokenCount": 320},
        },
        {},
    ),
    **{
        f"ended by {reason}": lambda reason=reason: (
            200,
            {
                "candidates": [{"finishReason": reason, "index": 0}],
                "usageMetadata": {"promptTokenCount": 320},
            },
            {},
        )
        for reason in (
            "SAFETY",
            "IMAGE_SAFETY",
            "PROHIBITED_CONTENT",
            "RECITATION",
            "NO_IMAGE",
            "OTHER",
        )
    },
    "only words": lambda: (
        200,
        answer(
            {"text": "I cannot edit photos of people."}, usageMetadata={"promptTokenCount": 320}
        ),
        {},
    ),
    "no candidates": lambda: (200, {"candidates": []}, {}),
    "too many": lambda: (429, _too_many("5.5s"), {}),
    "too many for an hour": lambda: (429, _too_many("3600s"), {}),
    "too many by header": lambda: (429, _too_many("0s"), {"Retry-After": "7"}),
    "too many by date": lambda: (
        429,
        _too_many("0s"),
        {"Retry-After": formatdate(time.time() + 60, usegmt=True)},
    ),
    "overloaded": lambda: (503, rpc_error(503, "UNAVAILABLE", "The model is overloaded."), {}),
    "broken": lambda: (500, rpc_error(500, "INTERNAL", "An internal error has occurred."), {}),
    "broken gateway": lambda: (502, b"<html>Bad Gateway</html>", {}),
    "odd error": lambda: (500, [1, 2, 3], {}),
    "bad photo": lambda: (
        400,
        rpc_error(400, "INVALID_ARGUMENT", "Unable to process input image."),
        {},
    ),
    "wrong key": lambda: (
        400,
        rpc_error(
            400,
            "INVALID_ARGUMENT",
            f"API key not valid: {KEY}",
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
            },
        ),
        {},
    ),
    "forbidden": lambda: (403, rpc_error(403, "PERMISSION_DENIED", f"no, {KEY}"), {}),
    "no such model": lambda: (404, rpc_error(404, "NOT_FOUND", "models/x is not found"), {}),
    "no JSON": lambda: (200, b"{this is no JSON " + KEY.encode(), {}),
    "another JSON": lambda: (200, ["a", {"b": KEY}], {}),
    "odd types": lambda: (200, {"candidates": [{"content": {"parts": KEY}}]}, {}),
    "no base64": lambda: (
        200,
        answer({"inlineData": {"mimeType": "image/png", "data": "%%%"}}),
        {},
    ),
    "no picture": lambda: (200, answer(picture(b"GIF89a" + b"\0" * 99)), {}),
    "half a picture": lambda: (200, answer(picture(png()[:700])), {}),
    "picture bomb": lambda: (200, answer(picture(_bomb())), {}),
    "packed": lambda: (200, answer(picture(png())), {"Content-Encoding": "gzip"}),
}


@contextmanager
def fake_gemini() -> Iterator[FakeGemini]:
    """The API for a block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            fault = _fault(self.path, headers, raw)
            if fault is not None:
                fake.asked.append(AskedModel("", {"contents": []}, headers))
                return self.send(*fault)
            model = self.path.removeprefix("/v1beta/models/").removesuffix(":generateContent")
            asked = AskedModel(model, json.loads(raw), headers)
            fake.asked.append(asked)
            fake.came.set()
            behaviour = fake.script.pop(0) if fake.script else fake.otherwise
            if behaviour in {"", "right"}:
                behaviour = (
                    "picture"
                    if asked.body["generationConfig"].get("responseModalities")
                    else "analysis"
                )
            with suppress(OSError):
                return self.misbehave(behaviour)

        def misbehave(self, behaviour: str) -> None:
            if behaviour == "never":
                self.wait_until_hung_up(30)
            elif behaviour == "trickle":
                self.head(200, {"Content-Length": "1000000"})
                for _ in range(300):
                    self.wfile.write(b" ")
                    if self.wait_until_hung_up(0.1):
                        return
            elif behaviour == "cut off":
                body = json.dumps(ANSWERS["picture"]()[1]).encode()
                self.head(200, {"Content-Length": str(len(body))})
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            elif behaviour == "hung up":
                self.close_connection = True
            elif behaviour == "huge by length":
                self.head(200, {"Content-Length": str(10**12)})
                self.wait_until_hung_up(10)
            elif behaviour == "huge":
                self.head(200, {"Connection": "close"})
                self.close_connection = True
                while True:
                    self.wfile.write(b" " * 1_000_000)
            elif behaviour.startswith("wait "):
                time.sleep(float(behaviour.removeprefix("wait ")))
                self.send(*ANSWERS["picture"]())
            elif behaviour.startswith("says "):
                self.send(200, says(behaviour.removeprefix("says ")), {})
            else:
                self.send(*ANSWERS[behaviour]())

        def wait_until_hung_up(self, seconds: float) -> bool:
            readable, _, _ = select.select([self.connection], [], [], seconds)
            if readable and not self.connection.recv(1):
                fake.hung_up.set()
                self.close_connection = True
                return True
            return False

        def send(self, status: int, body: Any, headers: dict[str, str]) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.head(status, {"Content-Length": str(len(data)), **headers})
            self.wfile.write(data)

        def head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json; charset=UTF-8",
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake = FakeGemini(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _fault(path: str, headers: dict[str, str], raw: bytes) -> Said | None:
    """What the API says to a request that is none of its own."""
    if not (path.startswith("/v1beta/models/") and path.endswith(":generateContent")):
        return 404, rpc_error(404, "NOT_FOUND", "Requested entity was not found."), {}
    if headers.get("x-goog-api-key") != KEY:
        return ANSWERS["wrong key"]()
    try:
        wrong = _wrong(json.loads(raw))
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
        wrong = f"{type(error).__name__}: {error}"
    return (400, rpc_error(400, "INVALID_ARGUMENT", wrong), {}) if wrong else None


def _wrong(body: dict[str, Any]) -> str:
    unknown = [*(body.keys() - _FIELDS), *(body.get("generationConfig", {}).keys() - _CONFIG)]
    if unknown:
        return f"Unknown name {unknown[0]!r}: Cannot find field."
    for content in body["contents"]:
        if content["role"] not in {"user", "model"} or not content["parts"]:
            return "Please use a valid role: user, model."
        for part in content["parts"]:
            if "inlineData" in part:
                data = _decoded(part["inlineData"]["data"])
                Image.open(BytesIO(data), formats=["JPEG", "PNG", "WEBP"]).load()
            elif not isinstance(part["text"], str) or not part["text"]:
                return "Unable to submit request because it must have a text parameter."
    return "" if len(json.dumps(body)) < 20_000_000 else "Request payload size exceeds the limit."
