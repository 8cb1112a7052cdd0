"""Delay and report the responses to wrong credentials, by address. Pure: time is handed in.

Only the response to a wrong credential is delayed: a right credential is answered at once, even
from the same address, so that nobody can lock out another caller.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

FREE_ATTEMPTS = 3
"""The number of consecutive failures that are answered at once."""
FIRST_DELAY_S = 0.25
MAX_DELAY_S = 4.0
FORGET_AFTER_S = 60.0
"""The time without a failure after which the count of an address restarts."""
REPORT_INTERVAL_S = 60.0
MAX_ADDRESSES = 1000
_IPV6_PREFIX_BITS = 64
"""An IPv6 user has at least the addresses that share this prefix."""


class _PeerFailures:
    __slots__ = ("failures", "last_s", "reported_s", "unreported")

    def __init__(self, now: float) -> None:
        self.failures = 0
        self.unreported = 0
        self.last_s = now
        self.reported_s = now - REPORT_INTERVAL_S


class AuthenticationSlowdown:
    """Remembers the addresses of the latest wrong credentials, up to a maximum number."""

    def __init__(self, limit: int = MAX_ADDRESSES) -> None:
        self._max_addresses = limit
        self._peers: OrderedDict[str, _PeerFailures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    def record_failure(self, peer: str, now: float) -> float:
        """Record a wrong credential; return the delay of its response in seconds."""
        address = peer_group(peer)
        peer_failures = self._peers.pop(address, None) or _PeerFailures(now)
        if now - peer_failures.last_s >= FORGET_AFTER_S:
            peer_failures.failures = 0
        peer_failures.failures += 1
        peer_failures.unreported += 1
        peer_failures.last_s = now
        self._peers[address] = peer_failures
        while len(self._peers) > self._max_addresses:
            self._peers.popitem(last=False)
        excess = peer_failures.failures - FREE_ATTEMPTS
        return min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(excess - 1, 10)) if excess > 0 else 0.0

    def due_reports(self, now: float) -> Iterator[tuple[str, int]]:
        """Yield each address that is due a log line, with its failures since the last."""
        for address, failures in list(self._peers.items()):
            if failures.unreported and now - failures.reported_s >= REPORT_INTERVAL_S:
                yield address, failures.unreported
                failures.unreported, failures.reported_s = 0, now
            elif not failures.unreported and now - failures.last_s >= FORGET_AFTER_S:
                del self._peers[address]


def peer_group(peer: str) -> str:
    """Return the group of addresses that one caller may have.

    >>> (peer_group("10.0.0.7"), peer_group("2001:db8:1:2:3::4"),
    ...  peer_group("::ffff:10.0.0.7"), peer_group(""))
    ('10.0.0.7', '2001:db8:1:2::/64', '10.0.0.7', 'unknown')
    """
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    first = IPv6Address(int(address) >> 128 - _IPV6_PREFIX_BITS << 128 - _IPV6_PREFIX_BITS)
    return f"{first}/{_IPV6_PREFIX_BITS}"
