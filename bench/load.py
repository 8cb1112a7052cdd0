"""Loads a Busway intake from a process of its own: ``python bench/load.py --url http://127.0.0.1:8400/events``.

Raw sockets, keep-alive, one request in flight on each connection, distinct event ids. Prints one
JSON object: requests, events, seconds, per_s (events), requests_per_s, p50_ms, p99_ms, errors.
Refuses to load anything but this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import ipaddress
import json
import time
from array import array
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

DATA = (
    b'"time":"2026-01-02T03:04:05Z","data":{"order_id":%d,"customer":{"id":%d,"tier":"gold"},'
    b'"total":%d.5,"currency":"EUR","items":3}'
)

_SLOT = b"@slot@"


class Plan(msgspec.Struct, frozen=True):
    """What to send where: ``batch`` events in each request, ids that begin with ``prefix``."""

    host: str
    port: int
    path: str
    connections: int = 64
    seconds: float = 5.0
    batch: int = 0
    prefix: str = ""
    """Makes the ids of one run distinct from another's."""
    requests: int = 0
    """Stop after so many requests; 0 for as many as the time allows."""


def order(prefix: bytes, number: int) -> bytes:
    """Return an order event of about 230 bytes; its id is distinct for each number."""
    customer = number % 1000
    return (
        b'{"specversion":"1.0","id":"%s%09d","source":"/shop/web","type":"order.created",'
        b'"subject":"customer-%d",'
        % (prefix, number, customer)
        + DATA % (number, customer, number % 500)
        + b"}"
    )


def single(plan: Plan, number: int) -> bytes:
    """Return a structured-mode request with one event."""
    return _request(plan, b"application/cloudevents+json", order(plan.prefix.encode(), number))


def ndjson(plan: Plan, number: int) -> bytes:
    """Return an NDJSON request with ``plan.batch`` events."""
    body = _lines(plan.batch).replace(_SLOT, b"%s%08d-" % (plan.prefix.encode(), number))
    return _request(plan, b"application/x-ndjson", body)


@functools.cache
def _lines(count: int) -> bytes:
    return b"".join(order(_SLOT, index) + b"\n" for index in range(count))


def _request(plan: Plan, kind: bytes, body: bytes) -> bytes:
    return (
        b"POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
        % (plan.path.encode(), plan.host.encode(), plan.port, kind, len(body))
        + body
    )


class Tally:
    """What all connections share."""

    def __init__(self, plan: Plan, make: Callable[[Plan, int], bytes]) -> None:
        self.plan = plan
        self.make = make
        self.number = 0
        self.good = self.errors = 0
        self.took_s = array("d")
        self.deadline = time.perf_counter() + plan.seconds
        self.open = 0
        self.done = asyncio.get_running_loop().create_future()

    def next(self) -> bytes | None:
        over = self.plan.requests and self.number >= self.plan.requests
        if over or time.perf_counter() >= self.deadline:
            return None
        self.number += 1
        return self.make(self.plan, self.number - 1)


class Client(asyncio.Protocol):
    """One connection: sends the next request when the answer to the last one is complete."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._seen = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._tally.open += 1
        self._send()

    def data_received(self, data: bytes) -> None:
        seen = self._seen = self._seen + data if self._seen else data
        head = seen.find(b"\r\n\r\n")
        if head < 0:
            return
        at = seen.find(b"content-length: ", 0, head) + 16
        if len(seen) < head + 4 + int(seen[at : seen.find(b"\r", at)]):
            return
        self._tally.took_s.append(time.perf_counter() - self._sent)
        if seen.startswith(b"HTTP/1.1 202"):
            self._tally.good += 1
        else:
            self._tally.errors += 1
        self._seen = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        tally = self._tally
        tally.open -= 1
        tally.errors += exc is not None
        if not tally.open and not tally.done.done():
            tally.done.set_result(None)

    def _send(self) -> None:
        request = self._tally.next()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)


async def load(plan: Plan) -> dict[str, float]:
    """Send what the plan says and return the figures."""
    loop = asyncio.get_running_loop()
    make = ndjson if plan.batch else single
    tally = Tally(plan, make)
    started = time.perf_counter()
    for _ in range(plan.connections):
        await loop.create_connection(lambda: Client(tally), plan.host, plan.port)
    await tally.done
    return figures(tally, time.perf_counter() - started)


def figures(tally: Tally, seconds: float) -> dict[str, float]:
    """Return what a run came to."""
    took = sorted(tally.took_s) or [0.0]
    events = tally.good * (tally.plan.batch or 1)
    return {
        "requests": tally.good,
        "events": events,
        "seconds": round(seconds, 3),
        "per_s": round(events / seconds),
        "requests_per_s": round(tally.good / seconds),
        "p50_ms": round(took[len(took) // 2] * 1000, 3),
        "p99_ms": round(took[min(len(took) - 1, len(took) * 99 // 100)] * 1000, 3),
        "errors": tally.errors,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--url", default="http://127.0.0.1:8400/events")
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--requests", type=int, default=0, help="stop after so many")
    options.add_argument("--mode", choices=["single", "ndjson"], default="single")
    options.add_argument("--batch", type=int, default=1000, help="events a request, for ndjson")
    options.add_argument("--prefix", default=f"{time.time_ns():x}-", help="what ids begin with")
    given = options.parse_args()
    url = urlsplit(given.url)
    host = url.hostname or "127.0.0.1"
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        options.error(f"{host} is not this machine; this tool loads loopback only")
    plan = Plan(
        host,
        url.port or 80,
        url.path or "/events",
        given.connections,
        given.seconds,
        given.batch if given.mode == "ndjson" else 0,
        given.prefix,
        given.requests,
    )
    print(json.dumps(uvloop.run(load(plan))))


if __name__ == "__main__":
    main()
