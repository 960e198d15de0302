"""Devices are called what people call them."""

from __future__ import annotations

import pytest

from db.accounts.devices import device_name

MOZILLA = "Mozilla/5.0"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
NAMES = {
    f"{MOZILLA} (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0": "Firefox on Linux",
    f"{MOZILLA} (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/129.0 Safari/537.36": (
        "Chrome on Windows"
    ),
    f"{MOZILLA} (Windows NT 10.0) {WEBKIT} Chrome/129.0 Safari/537.36 Edg/129.0": "Edge on Windows",
    f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/17.6 Safari/605.1.15": (
        "Safari on Mac"
    ),
    f"{MOZILLA} (iPhone; CPU iPhone OS 17_6 like Mac OS X) {WEBKIT} Version/17.6 Mobile/15E148 "
    "Safari/604.1": "Safari on iPhone",
    f"{MOZILLA} (iPhone; CPU iPhone OS 17_6 like Mac OS X) {WEBKIT} CriOS/129.0 Mobile/15E148 "
    "Safari/604.1": "Chrome on iPhone",
    f"{MOZILLA} (Linux; Android 14; SM-S918B) {WEBKIT} SamsungBrowser/26.0 Chrome/122.0 Mobile "
    "Safari/537.36": "Samsung Internet on Android",
    f"{MOZILLA} (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/129.0 Safari/537.36": (
        "Chrome on Chromebook"
    ),
    f"{MOZILLA} (iPad; CPU OS 17_6 like Mac OS X) {WEBKIT} Mobile/15E148": "iPad",
    "Aura/2.1 (com.example.aura; build:7; iPhone) Alamofire/5.9": "Aura on iPhone",
    "Aura/21 CFNetwork/1498.700.2 Darwin/23.6.0": "Aura on Mac",
    "okhttp/4.12.0": "Android",
    "Dart/3.5 (dart:io)": "Dart",
    "curl/8.5.0": "curl",
    "python-httpx/0.27.2": "python-httpx",
    MOZILLA: None,
    "?": None,
    "": None,
}


@pytest.mark.parametrize(("user_agent", "name"), NAMES.items())
def test_a_device_is_called_what_its_owner_calls_it(user_agent: str, name: str | None) -> None:
    assert device_name(user_agent) == name


def test_without_a_user_agent_there_is_no_name() -> None:
    assert device_name(None) is None
