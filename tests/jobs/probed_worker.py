"""`tallygraph worker`, its provider taking as many seconds as the argument says."""

from __future__ import annotations

import sys

from jobs.providers.base import Providers
from server import serving
from settings import get_settings

from .helpers import FakeProvider


def main(seconds: float) -> None:
    settings = get_settings()
    serving.choose_providers = lambda *_: Providers(FakeProvider(seconds=seconds))
    serving.run(serving.work(settings, settings.database_url))


if __name__ == "__main__":
    main(float(sys.argv[1]))
