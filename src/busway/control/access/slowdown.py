"""How answers to wrong credentials are slowed down and told, by address. Pure: time is handed in.

Only a wrong credential's own answer is held back: the right one is answered at once, from the same
address as well, so that nobody can lock out somebody else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

FREE_ATTEMPTS = 3
"""How many wrong ones in a row are answered at once."""
FIRST_DELAY_S = 0.25
MAX_DELAY_S = 4.0
FORGET_AFTER_S = 60.0
"""After how long without a wrong one an address begins anew."""
REPORT_INTERVAL_S = 60.0
MAX_ADDRESSES = 1000
_IPV6_PREFIX_BITS = 64
"""An IPv6 user has this many bits of addresses, and more."""


class _PeerFailures:
    __slots__ = ("failures", "last_s", "reported_s", "unreported")

    def __init__(self, now: float) -> None:
        self.failures = 0
        self.unreported = 0
        self.last_s = now
        self.reported_s = now - REPORT_INTERVAL_S


class AuthenticationSlowdown:
    """Remembers the addresses that wrong credentials came from last, and no more than so many."""

    def __init__(self, limit: int = MAX_ADDRESSES) -> None:
        self._max_addresses = limit
        self._peers: OrderedDict[str, _PeerFailures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    def record_failure(self, peer: str, now: float) -> float:
        """Take note of a wrong credential; return how long to hold its answer back, in seconds."""
        address = peer_group(peer)
        seen = self._peers.pop(address, None) or _PeerFailures(now)
        if now - seen.last_s >= FORGET_AFTER_S:
            seen.failures = 0
        seen.failures += 1
        seen.unreported += 1
        seen.last_s = now
        self._peers[address] = seen
        while len(self._peers) > self._max_addresses:
            self._peers.popitem(last=False)
        over = seen.failures - FREE_ATTEMPTS
        return min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(over - 1, 10)) if over > 0 else 0.0

    def due_reports(self, now: float) -> Iterator[tuple[str, int]]:
        """Yield each address that is due a line in the log, with how many wrong ones came since."""
        for address, seen in list(self._peers.items()):
            if seen.unreported and now - seen.reported_s >= REPORT_INTERVAL_S:
                yield address, seen.unreported
                seen.unreported, seen.reported_s = 0, now
            elif not seen.unreported and now - seen.last_s >= FORGET_AFTER_S:
                del self._peers[address]


def peer_group(peer: str) -> str:
    """Return what stands for all addresses that one caller may have.

    >>> (peer_group("10.0.0.7"), peer_group("2001:db8:1:2:3::4"),
    ...  peer_group("::ffff:10.0.0.7"), peer_group(""))
    ('10.0.0.7', '2001:db8:1:2::/64', '10.0.0.7', 'unknown')
    """
    try:
        found = ip_address(peer.partition("%")[0])
    except ValueError:
        return "unknown"
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    first = IPv6Address(int(found) >> 128 - _IPV6_PREFIX_BITS << 128 - _IPV6_PREFIX_BITS)
    return f"{first}/{_IPV6_PREFIX_BITS}"
