"""Processes that a benchmark starts and stops: servers that print a port, and the load."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@contextlib.contextmanager
def started(command: Sequence[object]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a Python program until the block ends; yields it and the first line that it printed."""
    words = [sys.executable, *map(str, command)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)


def load(port: int, *options: object) -> dict[str, Any]:
    """Load an intake from another process and return its figures."""
    url = f"http://127.0.0.1:{port}/events"
    words = [sys.executable, HERE / "load.py", "--url", url, *options]
    command = [str(word) for word in words]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, Any] = json.loads(ran.stdout)
    assert not found["errors"], found
    return found
