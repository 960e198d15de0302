"""What name servers say: the texts of a name, within a bound of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from settings_checks import split_dns_server

if TYPE_CHECKING:
    from dns.nameserver import Nameserver

LOOKUP_SECONDS = 5.0


class LookupFailed(Exception):
    """No name server answered in time, or none could; the message says which, and no more."""


async def texts_of(name: str, servers: Sequence[str] = ()) -> tuple[str, ...]:
    """The TXT records of a name, each as one text; none where there is no such name.

    `servers` are addresses, with or without a port; the system's own are asked without any.
    """
    import dns.asyncresolver
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.asyncresolver.Resolver(configure=not servers)
        if servers:
            resolver.nameservers = [_server(one) for one in servers]
        found = await resolver.resolve(
            f"{name}.", "TXT", lifetime=LOOKUP_SECONDS, search=False, raise_on_no_answer=False
        )
        records = found.rrset or ()
        return tuple(b"".join(one.strings).decode(errors="replace") for one in records)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise LookupFailed(type(error).__name__) from None


def _server(written: str) -> Nameserver:
    import dns.nameserver

    return dns.nameserver.Do53Nameserver(*split_dns_server(written))
