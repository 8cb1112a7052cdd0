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
import itertools
import json
import random
import time
import uuid
import zlib
from array import array
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

_BODIES = 16
"""How many bodies are made, each of other events; they are sent in turn, under new ids."""
_ORDER = (
    '{"specversion":"1.0","id":"%08x-%s","source":"/shop","type":"order.created",'
    '"subject":"customer-%d","time":"2026-01-02T03:04:05.%06dZ","data":{"order_id":1%05d%03d,'
    '"customer":{"id":%d},"total":%d.5}}'
)
_ID = _ORDER.index("%08x")
_NUMBER = (_ORDER % (0, " " * 27, 1000, 0, 0, 0, 1000, 100)).index('"order_id":1') + 12
"""Where in every order the number of its request is, in its id and in its order's."""


class Plan(msgspec.Struct, frozen=True):
    """What to send where: ``batch`` events in each request."""

    host: str
    port: int
    path: str
    connections: int = 64
    seconds: float = 5.0
    batch: int = 0
    prefix: str = ""
    """Makes the events of one run others than those of another."""
    requests: int = 0
    """Stop after so many requests; 0 for as many as the time allows."""


def order(chance: random.Random, index: int) -> bytes:
    """Return an order of 230 bytes, as different from others as real ones are; all are equally
    long, and what tells them from those of another request is still to be put in."""
    unique = str(uuid.UUID(int=chance.getrandbits(128), version=4))[9:]
    customer = chance.randrange(1000, 2000)
    known = (0, unique, customer, chance.randrange(1_000_000))
    return (_ORDER % (*known, 0, index % 1000, customer, chance.randrange(100, 1000))).encode()


@functools.cache
def _bodies(prefix: str, count: int) -> list[bytearray]:
    chance = random.Random(prefix)
    orders = itertools.cycle([order(chance, index) + b"\n" for index in range(_BODIES * 1000)])
    many = _BODIES * 1000 if count == 1 else _BODIES
    return [bytearray(b"".join(itertools.islice(orders, count))) for _ in range(many)]


def _numbered(plan: Plan, number: int, count: int) -> bytearray:
    """Return events whose ids nobody has sent before, in the place of those returned before."""
    bodies = _bodies(plan.prefix, count)
    body = bodies[number % len(bodies)]
    unique = b"%08x" % ((zlib.crc32(plan.prefix.encode()) + number) % 2**32)
    _put(body, _ID, unique, count)
    _put(body, _NUMBER, b"%05d" % (number % 10**5), count)
    return body


def _put(body: bytearray, at: int, digits: bytes, count: int) -> None:
    """Put digits into each of ``count`` events, which are equally long."""
    if count == 1:
        body[at : at + len(digits)] = digits
        return
    for index, digit in enumerate(digits, at):
        body[index :: len(body) // count] = bytes((digit,)) * count


def single(plan: Plan, number: int) -> bytes:
    """Return a structured-mode request with one event."""
    return _request(plan, b"application/cloudevents+json", _numbered(plan, number, 1))


def ndjson(plan: Plan, number: int) -> bytes:
    """Return an NDJSON request with ``plan.batch`` events."""
    return _request(plan, b"application/x-ndjson", _numbered(plan, number, plan.batch))


def _request(plan: Plan, kind: bytes, body: bytearray) -> bytes:
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
    make(plan, 0)  # before the clock runs
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
    options.add_argument("--prefix", default=f"{time.time_ns():x}-", help="what makes ids distinct")
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
