"""How answers to wrong credentials are slowed down and told, by address. Pure: time is handed in.

Only a wrong credential's own answer is held back: the right one is answered at once, from the same
address as well, so that nobody can lock out somebody else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

FREE = 3
"""How many wrong ones in a row are answered at once."""
FIRST_S = 0.25
LONGEST_S = 4.0
FORGOTTEN_S = 60.0
"""After how long without a wrong one an address begins anew."""
TOLD_EVERY_S = 60.0
MOST_ADDRESSES = 1000
_IPV6_SITE = 64
"""An IPv6 user has this many bits of addresses, and more."""


class _Seen:
    __slots__ = ("last_s", "told_s", "untold", "wrong")

    def __init__(self, now: float) -> None:
        self.wrong = 0
        self.untold = 0
        self.last_s = now
        self.told_s = now - TOLD_EVERY_S


class Slowdown:
    """Remembers the addresses that wrong credentials came from last, and no more than so many."""

    def __init__(self, most: int = MOST_ADDRESSES) -> None:
        self._most = most
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def wrong(self, peer: str, now: float) -> float:
        """Take note of a wrong credential; return how long to hold its answer back, in seconds."""
        address = site_of(peer)
        seen = self._seen.pop(address, None) or _Seen(now)
        if now - seen.last_s >= FORGOTTEN_S:
            seen.wrong = 0
        seen.wrong += 1
        seen.untold += 1
        seen.last_s = now
        self._seen[address] = seen
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)
        over = seen.wrong - FREE
        return min(LONGEST_S, FIRST_S * 2 ** min(over - 1, 10)) if over > 0 else 0.0

    def to_tell(self, now: float) -> Iterator[tuple[str, int]]:
        """Yield each address that is due a line in the log, with how many wrong ones came since."""
        for address, seen in list(self._seen.items()):
            if seen.untold and now - seen.told_s >= TOLD_EVERY_S:
                yield address, seen.untold
                seen.untold, seen.told_s = 0, now
            elif not seen.untold and now - seen.last_s >= FORGOTTEN_S:
                del self._seen[address]


def site_of(peer: str) -> str:
    """Return what stands for all addresses that one caller may have.

    >>> site_of("10.0.0.7"), site_of("2001:db8:1:2:3::4"), site_of("::ffff:10.0.0.7"), site_of("")
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
    first = IPv6Address(int(found) >> 128 - _IPV6_SITE << 128 - _IPV6_SITE)
    return f"{first}/{_IPV6_SITE}"
