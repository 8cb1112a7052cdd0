"""Processes that a benchmark starts and stops: servers that print a port, and the load."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from load import Plan, ndjson

HERE = Path(__file__).parent
TOKEN = "for-benchmarks-9f3kq7zxw2mv"
"""What the API asks of its callers."""


def bodies(count: int) -> list[bytes]:
    """Return the bodies of requests of a thousand orders."""
    plan = Plan("127.0.0.1", 80, "/events", batch=1000, prefix="floor")
    return [ndjson(plan, number).partition(b"\r\n\r\n")[2] for number in range(count)]


@contextlib.contextmanager
def without_settings(**more: str) -> Iterator[None]:
    """Have programs start with these settings and no others of this environment's."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("BUSWAY_")]:
        del os.environ[name]
    os.environ.setdefault("BENCH_DSN", "postgresql://127.0.0.1:1/nowhere")
    os.environ.update({"BUSWAY_API_TOKEN": TOKEN} | more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def started(command: Sequence[object]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a Python program until the block ends; yields it and the first line that it printed."""
    words = [sys.executable, *map(str, command)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            said.seek(0)
            assert line, said.read()
            yield process, line
        finally:
            process.terminate()
            process.communicate(timeout=30)


def load(port: int, *options: object) -> dict[str, Any]:
    """Load an intake from another process and return its figures."""
    url = f"http://127.0.0.1:{port}/events"
    words = [sys.executable, HERE / "load.py", "--url", url, *options]
    command = [str(word) for word in words]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, Any] = json.loads(ran.stdout)
    assert not found["errors"], found
    return found


def port_of(line: str) -> int:
    """Return the port in the line that a server prints when it is ready."""
    return int(line.partition("http://")[2].partition(" ")[0].rpartition(":")[2])
