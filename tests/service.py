"""What real servers for tests share: their ports, and what becomes of a test without one."""

from __future__ import annotations

import os
import random
import socket
import ssl
from typing import NoReturn

import pytest

LOOPBACK = "127.0.0.1"
_SERVERS = range(10_000, 32_768)
"""Ports that systems give to nobody by themselves: those of connections begin above."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of servers without TLS: each would read the system's certificates, for 25 ms."""
_marks: list[socket.socket] = []


def next_look_s(waited_s: float) -> float:
    """Return when to look again whether something has come true: soon at first, then less often.

    Each look takes processor time from what is waited for.
    """
    return min(max(0.01, waited_s / 20), 0.04)


def not_installed(reason: str) -> NoReturn:
    """Skip the test, or fail it where ``CI`` is ``true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Return loopback ports for servers that start later, and may stop and start again.

    Nobody else gets one meanwhile: no connection does by chance, and no test of another process,
    because this one keeps the UDP port of the same number until it ends.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_SERVERS)
        if _is_marked(port):
            found.append(port)
    return found


def _is_marked(port: int) -> bool:
    """Mark a port as taken; say whether it was free."""
    mark = socket.socket(type=socket.SOCK_DGRAM)
    try:
        mark.bind((LOOPBACK, port))
        with socket.socket() as server:
            server.bind((LOOPBACK, port))
    except OSError:
        mark.close()
        return False
    _marks.append(mark)
    return True


def kept_port() -> socket.socket:
    """Return a socket that keeps a free loopback port for servers with ``reuse_port``.

    While none of them listens, who connects is refused.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    keeper.bind((LOOPBACK, 0))
    return keeper
