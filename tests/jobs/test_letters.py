"""Letters say what they should in every language, and nobody can write into them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from auth.one_time_codes import OneTimeCodes
from db.emails.rules import TEMPLATES
from jobs.mailing.addresses import DEFAULT_SENDER, sender_of
from jobs.mailing.rendering import LetterWriter
from jobs.mailing.texts import PARTS, Texts, languages, read_texts, texts_for
from settings import Settings, SettingsError

from .letters import CODE_ID, begun, parsed, part, written

LOCALES = ("ar", "bn", "en", "es", "fr", "hi", "id", "pt", "ru", "zh")
# The letters of the languages that are not written in Latin ones.
SCRIPTS = {"ar": "[؀-ۿ]", "bn": "[ঀ-৿]", "hi": "[ऀ-ॿ]", "ru": "[а-яё]", "zh": "[一-鿿]"}
LINK = "https://app.test/{purpose}?token={token}"
WITH_CODE = [name for name, one in TEMPLATES.items() if "code_id" in one.required]
HOSTILE = '"><img src=x onerror=alert(1)>\r\nBcc: eve@example.test\r\n\r\n{product} {0} http://evil.test/x \u202e'


@pytest.fixture
def own(settings: Settings) -> Settings:
    """A deployment with a sender and a page for links."""
    sender = "Aura <no-reply@aura.test>"
    return settings.model_copy(update={"mail_from": sender, "link_url": LINK})


@pytest.fixture
def writer(own: Settings) -> LetterWriter:
    """Writes its letters."""
    return LetterWriter(own)


class Page(HTMLParser):
    """What a reader's program makes of HTML: its elements, links and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.direction = ""
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        if tag == "html":
            self.direction = given["dir"] or ""
        if tag == "a":
            self.links.add(given["href"] or "")
        assert not any(name.startswith("on") for name in given)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_there_are_texts_for_every_template_in_every_language() -> None:
    assert languages() == set(LOCALES)
    assert PARTS.keys() == TEMPLATES.keys()
    for language in LOCALES:
        assert read_texts(language).letters.keys() == TEMPLATES.keys(), language


def sentences(texts: Texts) -> Iterator[tuple[str, str]]:
    """Every text by its place."""
    for group in ("common", "details", "roles", "changes"):
        for name, text in getattr(texts, group).items():
            yield f"{group}.{name}", text
    for name, letter in texts.letters.items():
        yield f"{name}.subject", letter.subject
        yield f"{name}.button", letter.button
        for n, paragraph in enumerate(letter.paragraphs):
            yield f"{name}.{n}", paragraph


def values_of(text: str) -> list[str]:
    return sorted(re.findall(r"\{(\w*)\}", text))


@pytest.mark.parametrize("language", LOCALES)
def test_a_translation_says_all_that_the_english_text_says(language: str) -> None:
    english, own = dict(sentences(read_texts("en"))), dict(sentences(read_texts(language)))
    assert own.keys() == english.keys()
    for place, text in own.items():
        assert values_of(text) == values_of(english[place]), place
        assert bool(text) == bool(english[place]), place
        assert text.count("{") == text.count("}") == len(values_of(text)), place
        if script := SCRIPTS.get(language):
            assert not text or text == "{change}" or re.search(script, text, re.IGNORECASE), place
        elif language != "en" and len(text) > 20:
            assert text != english[place], place
    assert read_texts(language).direction == ("rtl" if language == "ar" else "ltr")


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_written_in_every_language(
    writer: LetterWriter, own: Settings, template: str, locale: str
) -> None:
    message = written(writer, begun(template, locale=locale))
    text, html = part(message), part(message, "html")
    page = Page(html)
    for shown in (text, page.text):
        assert "Aura" in shown
        assert not re.search(r"[{}]", shown)
    assert message["Content-Language"] == locale
    assert page.direction == read_texts(locale).direction
    assert {"script", "img", "link", "form", "iframe"}.isdisjoint(page.tags)
    for detail in PARTS[template].details:
        assert read_texts(locale).details[detail] in page.text
    assert ("203.0.113.0/24" in text) is ("address" in PARTS[template].details)
    is_about_somebody = not {"inviter", "requester"}.isdisjoint(PARTS[template].details)
    assert ("ada@example.test" in text) is is_about_somebody
    codes = OneTimeCodes(own)
    digits = [line for line in text.splitlines() if re.fullmatch(r"\d{6}", line)]
    shows_token = PARTS[template].shows_token
    has_digits = template in WITH_CODE and not shows_token
    assert digits == ([codes.digits(CODE_ID)] if has_digits else [])
    links = {line for line in text.splitlines() if line.startswith("https://")}
    assert page.links == links
    assert len(links) == bool(PARTS[template].purpose)
    if template in WITH_CODE:
        (link,) = links
        token = link.partition("?token=")[2]
        assert link.startswith(f"https://app.test/{PARTS[template].purpose}?")
        assert codes.code_id_of_link(token) == CODE_ID
        code = token if shows_token else digits[0]
        assert code in text.splitlines()
        assert code in page.text
        assert code not in message["Subject"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_needs_no_more_than_what_is_required(settings: Settings, template: str) -> None:
    email = begun(template)
    required = {n: v for n, v in email.parameters.items() if n in TEMPLATES[template].required}
    bare = dataclasses.replace(email, parameters=required)
    text = part(written(LetterWriter(settings), bare))
    assert "Tallygraph" in text
    assert "http" not in text


@pytest.mark.parametrize("locale", ["en", "ar"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_what_others_wrote_is_neither_header_nor_element_nor_link(
    writer: LetterWriter, template: str, locale: str
) -> None:
    kept = {
        "code_id", "invitation_id", "valid_minutes", "delete_at", "expires_at", "measured", "threshold",
    }  # fmt: skip
    email = begun(template, locale=locale)
    given = {n: v if n in kept else HOSTILE for n, v in email.parameters.items()}
    message = written(writer, dataclasses.replace(email, parameters=given))
    text, page = part(message), Page(part(message, "html"))
    assert set(message.keys()) == {
        "From", "To", "Date", "Message-ID", "Auto-Submitted", "Subject", "Content-Language",
        "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert "img" not in page.tags
    own_links = {link for link in page.links if link.startswith("https://app.test/")}
    assert page.links == own_links
    for shown in (text, page.text):
        assert "evil.test" not in shown.replace("\u2068", "")
        assert "http://" not in shown
        assert "\u202e" not in shown
    assert not any(line.startswith("Bcc:") for line in text.splitlines())


@pytest.mark.parametrize(
    "product", ["Evil\r\nBcc: eve@example.test <a@aura.test>", "a@b.test, c@d.test", "nobody"]
)
def test_a_wrong_sender_is_refused(product: str) -> None:
    with pytest.raises(SettingsError, match="MAIL_FROM"):
        sender_of(product)


@pytest.mark.parametrize(
    ("mail_from", "shown", "product"),
    [
        ("Aura <no-reply@aura.test>", "Aura <no-reply@aura.test>", "Aura"),
        ("no-reply@aura.test", "no-reply@aura.test", "aura.test"),
        (
            "Bücher & Söhne <post@bücher.test>",
            "Bücher & Söhne <post@xn--bcher-kva.test>",
            "Bücher & Söhne",
        ),
        ("", DEFAULT_SENDER, "Tallygraph"),
    ],
)
def test_the_sender_names_the_product(
    settings: Settings, mail_from: str, shown: str, product: str
) -> None:
    writer = LetterWriter(settings.model_copy(update={"mail_from": mail_from}))
    letter = writer.write(begun("sign_in_code"))
    message = parsed(letter.content)
    assert message["From"] == shown
    assert letter.sender == shown.rpartition("<")[2].rstrip(">")
    assert f"sign in to {product}." in part(message)
    assert message["Message-ID"] == f"<{letter.id}@{letter.sender.partition('@')[2]}>"


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("pt-BR", "pt"),
        ("zh_Hant", "zh"),
        ("AR", "ar"),
        (None, "en"),
        ("de", "en"),
        ("../en", "en"),
        ("", "en"),
    ],
)
def test_a_locale_is_in_its_language_or_in_english(locale: str | None, language: str) -> None:
    assert texts_for(locale).language == language


@pytest.mark.parametrize(
    ("time_zone", "shown"),
    [
        (None, "February 3, 2031, 4:05:00 AM UTC"),
        ("Europe/Berlin", "February 3, 2031, 5:05:00 AM +0100"),
        ("Nowhere/At all", "February 3, 2031, 4:05:00 AM UTC"),
    ],
)
def test_times_are_in_the_readers_zone(
    writer: LetterWriter, time_zone: str | None, shown: str
) -> None:
    email = begun("account_deletion_scheduled", delete_at=datetime(2031, 2, 3, 4, 5, tzinfo=UTC))
    text = part(written(writer, dataclasses.replace(email, time_zone=time_zone)))
    assert shown in text.replace("\u202f", " ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"valid_minutes": 15}, "within 15 minutes"),
        ({"valid_minutes": 90}, "within 90 minutes"),
        ({"valid_minutes": 1440}, "within 24 hours"),
    ],
)
def test_a_code_says_how_long_it_works(
    writer: LetterWriter, given: dict[str, Any], said: str
) -> None:
    assert said in part(written(writer, begun("sign_in_code", **given)))


@pytest.mark.parametrize(
    ("change", "said"),
    [("passkey_removed", "A passkey was removed"), ("something new", "was changed")],
)
def test_a_change_of_the_second_factor_is_told(
    writer: LetterWriter, change: str, said: str
) -> None:
    assert said in part(written(writer, begun("second_factor_changed", change=change)))


@pytest.mark.parametrize(
    ("template", "lines"),
    [
        ("alert_firing", ("Alert from Aura: Time of AI providers, 95th of 100", "6.2 s", "5.0 s")),
        ("alert_over", ("Aura: back to normal: Synchronizations that fail", "1.3 %", "5.0 %")),
    ],
)
def test_an_alert_says_what_was_measured_and_its_limit(
    writer: LetterWriter, template: str, lines: tuple[str, str, str]
) -> None:
    subject, *values = lines
    message = written(writer, begun(template, locale="en"))
    assert message["Subject"] == subject
    assert all(value in part(message) for value in values)
