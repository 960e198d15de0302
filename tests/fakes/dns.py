"""A name server on this machine, whose TXT records the test writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


@dataclass
class FakeDns(asyncio.DatagramProtocol):
    """Its address, its records, how it answers (0: as they are), and what it was asked."""

    address: str = ""
    records: dict[str, list[str]] = field(default_factory=dict)
    code: int = 0
    asked: list[str] = field(default_factory=list)
    transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answers one question; what there is not has code 3."""
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text().rstrip(".")
        self.asked.append(name)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        texts = self.records.get(name, [])
        answer.set_rcode(dns.rcode.Rcode(self.code or (0 if texts else 3)))
        if texts and not self.code:
            written = [f'"{text}"' for text in texts]
            answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", *written))
        self.transport.sendto(answer.to_wire(), addr)


async def open_dns() -> tuple[asyncio.DatagramTransport, FakeDns]:
    """A name server that answers until its transport is closed."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(FakeDns, local_addr=("127.0.0.1", 0))
    host, port = transport.get_extra_info("sockname")
    server.address = f"{host}:{port}"
    return transport, server


@asynccontextmanager
async def fake_dns() -> AsyncIterator[FakeDns]:
    """A name server for a block."""
    transport, server = await open_dns()
    try:
        yield server
    finally:
        transport.close()
