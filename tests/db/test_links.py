"""A link opens exactly what it was signed for, whether we or a bucket signed it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from time import time
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit
from uuid import UUID

import httpx
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from db.core.errors import DomainError, ErrorCode
from db.files.links import LINK_BUCKET_SECONDS, LinkSigner, open_links, open_signer
from db.files.storage import generation_path, incoming_path, open_storage, upload_path, variant_path
from settings import Settings
from tests.buckets import ACCESS_KEY, REGION, SECRET_KEY, new_bucket

ANNA = UUID("01890000-0000-7000-8000-00000000000a")
BORIS = UUID("01890000-0000-7000-8000-00000000000b")
FILE = UUID("01890000-0000-7000-8000-0000000000f1")
NOW = 1_800_000_000
PATH = generation_path(ANNA, FILE, "image/jpeg")


@pytest.fixture
def links() -> LinkSigner:
    return LinkSigner("https://api.example.com", "a key for tests")


def taken_apart(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    return parts.path.removeprefix("/files/"), dict(parse_qsl(parts.query))


def test_a_link_opens_its_file_until_it_expires(links: LinkSigner) -> None:
    url = links.sign_url("GET", PATH, NOW + 600, "image/jpeg")
    assert url.startswith(f"https://api.example.com/files/{PATH}?method=GET&")
    path, query = taken_apart(url)
    link = links.verify("GET", path, query, NOW)
    assert (link.path, link.content_type) == (PATH, "image/jpeg")
    assert NOW + 600 <= link.expires_at < NOW + 600 + LINK_BUCKET_SECONDS
    links.verify("GET", path, query, link.expires_at - 1)
    with pytest.raises(DomainError):
        links.verify("GET", path, query, link.expires_at)


@pytest.mark.parametrize(
    ("method", "path", "changes"),
    [
        ("PUT", PATH, {}),
        ("DELETE", PATH, {}),
        ("PUT", PATH, {"method": "PUT"}),
        ("GET", generation_path(BORIS, FILE, "image/jpeg"), {}),
        ("GET", upload_path(ANNA, FILE), {}),
        ("GET", variant_path(PATH, 160), {}),
        ("GET", PATH, {"expires": str(NOW + 900_000)}),
        ("GET", PATH, {"expires": ""}),
        ("GET", PATH, {"expires": "soon"}),
        ("GET", PATH, {"type": "text/html"}),
        ("GET", PATH, {"type": ""}),
        ("GET", PATH, {"signature": ""}),
        ("GET", PATH, {"signature": "A" * 43}),
        ("GET", PATH, {"signature": "ключ\udcff"}),
    ],
)
def test_an_altered_link_is_refused(
    links: LinkSigner, method: str, path: str, changes: dict[str, str]
) -> None:
    _, query = taken_apart(links.sign_url("GET", PATH, NOW + 600, "image/jpeg"))
    links.verify("GET", PATH, query, NOW)
    with pytest.raises(DomainError) as refusal:
        links.verify(method, path, query | changes, NOW)
    assert refusal.value.code == ErrorCode.FORBIDDEN
    assert "ask for a new one" in refusal.value.message


def test_every_character_of_a_signature_counts(links: LinkSigner) -> None:
    path, query = taken_apart(links.sign_url("GET", PATH, NOW + 600, "image/jpeg"))
    signature = query["signature"]
    for place in range(len(signature)):
        other = "A" if signature[place] != "A" else "B"
        query["signature"] = signature[:place] + other + signature[place + 1 :]
        with pytest.raises(DomainError):
            links.verify("GET", path, query, NOW)


def test_another_key_signs_other_links(links: LinkSigner) -> None:
    path, query = taken_apart(links.sign_url("GET", PATH, NOW + 600))
    with pytest.raises(DomainError):
        LinkSigner("https://api.example.com", "another key").verify("GET", path, query, NOW)


def test_links_made_within_five_minutes_are_the_same_text(links: LinkSigner) -> None:
    start = NOW - NOW % LINK_BUCKET_SECONDS + 1
    made = {
        links.sign_url("GET", PATH, start + second + 3600, "image/jpeg")
        for second in range(LINK_BUCKET_SECONDS)
    }
    assert len(made) == 1
    assert links.sign_url("GET", PATH, start + LINK_BUCKET_SECONDS + 3600) not in made


def test_the_key_outlives_a_restart(tmp_path: Path) -> None:
    settings = Settings(data_directory=tmp_path, public_url="https://api.example.com/")
    path, query = taken_apart(open_links(settings).put_url(ANNA, FILE, NOW))
    restarted = open_signer(Settings(data_directory=tmp_path))
    assert restarted.verify("PUT", path, query, NOW - 1).path == upload_path(ANNA, FILE)


def signature_by_botocore(url: str, method: str) -> str:
    """The signature that Amazon's own library gives a link of this method, place, time and life."""
    given = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
    signed_at = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    class AtThatTime(S3SigV4QueryAuth):
        def add_auth(self, request: AWSRequest) -> None:
            request.context["timestamp"] = given["X-Amz-Date"]
            self._modify_request_before_signing(request)
            canonical = self.canonical_request(request)
            text = self.string_to_sign(request, canonical)
            self._inject_signature_to_request(request, self.signature(text, request))

    request = AWSRequest(method=method, url=url.partition("?")[0])
    lasts = int(given["X-Amz-Expires"])
    AtThatTime(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION, expires=lasts).add_auth(request)
    assert abs((datetime.now(UTC) - signed_at).total_seconds()) < 60
    return parse_qs(urlsplit(request.url).query)["X-Amz-Signature"][0]


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_bucket_would_accept_our_links_for_that_file_method_and_time_alone(
    bucket_endpoint: str, method: str
) -> None:
    links = open_links(Settings(storage_url=new_bucket(bucket_endpoint)))
    url = (
        links.put_url(ANNA, FILE, time() + 900)
        if method == "PUT"
        else links.picture_url(PATH, "image/jpeg", time() + 900, None)
    )
    place, _, query = url.partition("?")
    path = PATH if method == "GET" else incoming_path(ANNA, FILE)
    assert place.endswith(f"/some/prefix/{path}")
    (signature,) = parse_qs(query)["X-Amz-Signature"]
    (lasts,) = parse_qs(query)["X-Amz-Expires"]
    assert 890 <= int(lasts) <= 900
    assert signature == signature_by_botocore(url, method)

    other_method = "GET" if method == "PUT" else "PUT"
    assert signature != signature_by_botocore(url, other_method)
    assert signature != signature_by_botocore(url.replace(f"/{ANNA}/", f"/{BORIS}/"), method)
    longer = url.replace(f"X-Amz-Expires={lasts}", "X-Amz-Expires=86400")
    assert signature != signature_by_botocore(longer, method)


@pytest.fixture
def google_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> rsa.RSAPublicKey:
    """The public key of a service account that signs for this process."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "client_email": "files@project.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": pem,
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    return private.public_key()


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_bucket_of_google_would_accept_our_links(
    google_key: rsa.RSAPublicKey, tmp_path: Path, method: str
) -> None:
    links = open_links(Settings(storage_url="gs://photos/prefix", data_directory=tmp_path))
    url = (
        links.put_url(ANNA, FILE, time() + 900)
        if method == "PUT"
        else links.picture_url(PATH, "image/jpeg", time() + 900, None)
    )
    place, query = urlsplit(url), urlsplit(url).query
    path = PATH if method == "GET" else incoming_path(ANNA, FILE)
    assert (place.netloc, unquote(place.path)) == (
        "storage.googleapis.com",
        f"/photos/prefix/{path}",
    )
    given = {name: value for name, (value,) in parse_qs(query).items()}
    unsigned = "&".join(sorted(p for p in query.split("&") if not p.startswith("X-Goog-Signature")))

    def signed_text(method: str) -> bytes:
        """What Google recomputes: its fourth way of signing."""
        request = (
            f"{method}\n{place.path}\n{unsigned}\nhost:{place.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        )
        scope = given["X-Goog-Credential"].partition("/")[2]
        digest = hashlib.sha256(request.encode()).hexdigest()
        return f"GOOG4-RSA-SHA256\n{given['X-Goog-Date']}\n{scope}\n{digest}".encode()

    signature = bytes.fromhex(given["X-Goog-Signature"])
    assert 890 <= int(given["X-Goog-Expires"]) <= 900
    google_key.verify(signature, signed_text(method), PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        google_key.verify(signature, signed_text("DELETE"), PKCS1v15(), SHA256())


async def test_a_buckets_links_carry_bytes_both_ways(bucket_endpoint: str) -> None:
    settings = Settings(storage_url=new_bucket(bucket_endpoint))
    links, storage = open_links(settings), open_storage(settings)
    async with httpx.AsyncClient() as http:
        url = links.put_url(ANNA, FILE, time() + 900)
        headers = links.put_headers("image/png")
        assert (await http.put(url, content=b"bytes", headers=headers)).status_code == 200
        assert (await storage.head(incoming_path(ANNA, FILE))).content_type == "image/png"
        await storage.put(PATH, b"picture")
        answer = await http.get(links.picture_url(PATH, "image/jpeg", time() + 900, None))
        assert (answer.content, answer.headers["content-type"]) == (b"picture", "image/jpeg")


def test_a_smaller_picture_is_linked_through_us(bucket_endpoint: str, tmp_path: Path) -> None:
    for url in ("", new_bucket(bucket_endpoint)):
        settings = Settings(storage_url=url, data_directory=tmp_path)
        link = open_links(settings).picture_url(PATH, "image/jpeg", NOW, 320)
        path, query = taken_apart(link.replace(settings.base_url, "https://api.example.com"))
        assert path.removeprefix("https://api.example.com/files/") == variant_path(PATH, 320)
        assert open_signer(settings).verify("GET", variant_path(PATH, 320), query, NOW - 1)
