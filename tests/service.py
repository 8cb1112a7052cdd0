"""What real servers for tests share: their ports, and what becomes of a test without one."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import NoReturn

import pytest


def not_installed(reason: str) -> NoReturn:
    """Skip the test, or fail it where ``CI`` is ``true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address that nobody listens on."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in listeners]
