"""The assistant of this machine: it looks things up in the profile, and says that it is no AI."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from jobs.assistants.analysis import measured_analysis
from jobs.assistants.base import AnalysisRequest, ChatRequest
from jobs.assistants.bill import ModelBill
from jobs.assistants.offline_answers import answer_from
from jobs.providers.base import ProviderLimits

# Pieces as a model sends them, so that clients meet with a stream what they will meet with an AI.
_PIECE = re.compile(r"\s*\S+(?:\s+\S+){0,3}")
_PIECE_SECONDS = 0.02
_CHARACTERS_PER_TOKEN = 4
VERSION = "offline/1"


class OfflineAssistant:
    """Answers from what is kept of a profile alone."""

    name = "offline"
    is_offline = True
    limits = ProviderLimits(timeout_seconds=60, concurrent_calls=200)

    async def reply(self, request: ChatRequest, bill: ModelBill) -> AsyncIterator[str]:
        """The reply in pieces of a few words."""
        bill.begin(self.name, self.name, VERSION, "")
        asked = request.messages[-1].text
        answer = answer_from(request.name, request.analysis, request.messages)
        answer = answer[: request.max_output_tokens * _CHARACTERS_PER_TOKEN]
        sent = 0
        try:
            for piece in _PIECE.finditer(answer):
                if sent:
                    await asyncio.sleep(_PIECE_SECONDS)
                sent = piece.end()
                yield piece[0]
        finally:
            bill.add(read=_tokens(len(asked)), written=_tokens(sent))
        bill.ended = "end_turn"

    async def analyse(self, request: AnalysisRequest, bill: ModelBill) -> dict[str, Any]:
        """What can be measured of a profile and its chat."""
        bill.begin(self.name, self.name, VERSION, "")
        found = measured_analysis(request.name, request.known, request.messages)
        bill.add(read=_tokens(sum(len(one.text) for one in request.messages)), written=1)
        bill.ended = "end_turn"
        return found


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_PER_TOKEN)
