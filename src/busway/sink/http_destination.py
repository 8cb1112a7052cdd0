"""An opened ``http`` sink: sends requests, and judges each event by what came back."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import aiohttp
import msgspec

from busway.outcome import (
    DELIVERED,
    HELD,
    UNTRIED,
    Delivered,
    Down,
    Gone,
    Outcome,
    RateLimited,
    Rejected,
    Retry,
    Untried,
)
from busway.ports import Load
from busway.sink.http_answer import Unavailable, Verdict, judged
from busway.sink.http_connection import Exchange, cause, session, unreachable
from busway.sink.http_endpoint import Endpoint
from busway.sink.http_request import Part, Request, batches, chains, part_of, singles, together

Answered = Verdict | Down | Untried
_SPLIT = ("http 400", "http 413", "http 422")
"""Refusals of a batch that one event in it may have caused."""
_WORKERS = 64
_FAILED_IN_A_ROW = 20
"""After how many failures in a row the rest of a load waits for what the breaker makes of them."""
_PATIENCE = 8
"""After how many refusals in a row, at most, a load is stopped."""
_LIMITED_IN_A_ROW = 3
_REACH_S = 5.0


class HttpDestination:
    """Keeps connections open; each request of a load holds one of its permits."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._session = session(endpoint.timeout_s)

    async def write(self, load: Load) -> Sequence[Outcome]:
        return await Writing(self, load).run()

    async def reach(self) -> Down | None:
        why = await unreachable(self.endpoint.url, min(self.endpoint.timeout_s, _REACH_S))
        return None if why is None else self._unreached(why)

    async def close(self) -> None:
        await self._session.close()

    async def send(self, request: Request) -> Answered:
        """Send a request and judge the answer; once more when a kept connection was gone."""
        exchange, timeout_s = Exchange(), self.endpoint.timeout_s
        try:
            try:
                return await self._sent(request, exchange)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise
                return await self._sent(request, exchange)
        except aiohttp.ClientConnectorError as error:
            return self._unreached(cause(error))
        except TimeoutError:
            if not exchange.connected:
                return self._unreached(f"no connection within {timeout_s} s")
            return Unavailable("timeout", f"no answer within {timeout_s} s")
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            return Unavailable("no answer", f"the connection broke: {cause(error)}")

    def _unreached(self, why: str) -> Down:
        return Down(f"{self.endpoint.name} cannot be reached: {why}", error="no connection")

    async def _sent(self, request: Request, exchange: Exchange) -> Verdict:
        headers = {"Content-Type": request.media_type, **self.endpoint.headers}
        headers["Idempotency-Key"] = request.key
        if self.endpoint.signer is not None:
            signed = self.endpoint.signer.headers(request.key, datetime.now(UTC), request.body)
            headers |= signed
        try:
            async with self._session.request(
                self.endpoint.method,
                self.endpoint.url,
                data=request.body,
                headers=headers,
                allow_redirects=False,
                trace_request_ctx=exchange,
            ) as response:
                await exchange.receive(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if isinstance(error, aiohttp.ClientResponseError):
                exchange.fail(error)
            if exchange.answer is None:  # what comes after its status changes nothing
                raise
        if exchange.answer is None:
            raise AssertionError("a request ends with an answer or an error")
        return judged(exchange.answer, datetime.now(UTC))


class Writing:
    """One load on its way."""

    def __init__(self, destination: HttpDestination, load: Load) -> None:
        self._destination = destination
        self._load = load
        self._patience = max(2, min(destination.endpoint.most, _PATIENCE))
        self._verdicts: list[Answered] = [HELD] * len(load.items)
        self._behind: dict[int, int] = {}
        self._stopped = False
        self._refused_in_a_row = self._failed_in_a_row = 0
        self._turn = self._last_landed = 0
        self._refused: dict[int, int] = {}

    async def run(self) -> Sequence[Outcome]:
        """Return what became of each item."""
        chains = self._chains()
        queue = iter(chains)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._workers, len(chains))):
                group.create_task(self._work(queue))
        return self._outcomes()

    @property
    def _workers(self) -> int:
        """How many may want to send: more than have leave to, as that can change at any time."""
        most = self._destination.endpoint.most
        return most if self._load.permits is None else max(most, _WORKERS)

    def _chains(self) -> list[list[list[Part]]]:
        """Return chains of groups: chains go side by side, the groups of one in order."""
        parts: list[Part] = []
        for index, item in enumerate(self._load.items):
            part = part_of(index, item)
            if isinstance(part, Rejected):
                self._verdicts[index] = part
            elif part.bodies:
                parts.append(part)
            else:
                self._verdicts[index] = DELIVERED
        size = self._destination.endpoint.batch
        if size is None:
            return [[[part] for part in chain] for chain in chains(parts, self._load)]
        groups = batches(parts, size)
        return [groups] if self._load.ordered else [[group] for group in groups]

    async def _work(self, queue: Iterator[list[list[Part]]]) -> None:
        for chain in queue:
            failed: dict[str, int] = {}
            for group in chain:
                await self._take(group, failed)

    async def _take(self, group: Sequence[Part], failed: dict[str, int]) -> None:
        """Send a group, without those items that an earlier one of their key holds back."""
        free: list[Part] = []
        for part in group:
            if part.order_key in failed:
                self._behind[part.index] = failed[part.order_key]
            else:
                free.append(part)
        if free:
            await self._send(free)
        if self._load.ordered:
            for part in free:
                if part.order_key is not None and self._verdicts[part.index] is not DELIVERED:
                    failed.setdefault(part.order_key, part.index)

    async def _send(self, group: Sequence[Part]) -> None:
        verdict = await self._permitted(group)
        if isinstance(verdict, Rejected) and verdict.error in _SPLIT and len(group) > 1:
            middle = len(group) // 2
            await self._send(group[:middle])
            await self._send(group[middle:])
            return
        for part in group:
            self._verdicts[part.index] = verdict

    async def _permitted(self, group: Sequence[Part]) -> Answered:
        """Send a group while a permit is held, unless the load has been stopped meanwhile."""
        permits = self._load.permits
        if permits is not None and not await permits.acquire():
            self._stopped = True
            return UNTRIED
        self._turn = turn = self._turn + 1
        began, verdict = time.perf_counter(), None
        try:
            verdict = UNTRIED if self._stopped else await self._sent(group)
        finally:
            if permits is not None:
                refused = isinstance(verdict, Unavailable | RateLimited)
                permits.release(_took_s(began, verdict), refused=refused)
        self._learn(verdict, turn, group)
        return verdict

    async def _sent(self, group: Sequence[Part]) -> Answered:
        if self._destination.endpoint.batch is not None:
            return await self._destination.send(
                together(group, self._destination.endpoint.batch_format)
            )
        (part,) = group
        for request in singles(self._load.items[part.index], part):
            verdict = await self._destination.send(request)
            if not isinstance(verdict, Delivered):
                return verdict
        return DELIVERED

    def _learn(self, verdict: Answered, turn: int, group: Sequence[Part]) -> None:
        """Stop after so many failures in a row that the breaker has to decide what they mean."""
        if isinstance(verdict, Down | Gone):
            self._stopped = True
        elif isinstance(verdict, Unavailable | RateLimited):
            self._refused |= {part.index: turn for part in group}
            self._refused_in_a_row += 1
            most = self._patience
            if isinstance(verdict, RateLimited):
                most = _LIMITED_IN_A_ROW if self._last_landed else 1
            self._stopped |= self._refused_in_a_row >= most
        elif isinstance(verdict, Retry):
            self._failed_in_a_row += 1
            self._stopped |= self._failed_in_a_row >= _FAILED_IN_A_ROW
        elif isinstance(verdict, Delivered):
            self._refused_in_a_row = self._failed_in_a_row = 0
            self._last_landed = max(self._last_landed, turn)

    def _outcomes(self) -> Sequence[Outcome]:
        return [self._outcome(index) for index in range(len(self._verdicts))]

    def _outcome(self, index: int) -> Outcome:
        if index in self._behind:
            first = self._outcome(self._behind[index])
            return UNTRIED if isinstance(first, Down | Gone | Untried) else HELD
        verdict = self._verdicts[index]
        if isinstance(verdict, Unavailable | RateLimited):
            overtaken = self._refused[index] < self._last_landed
            found = verdict.down if isinstance(verdict, Unavailable) else verdict
            return msgspec.structs.replace(found, overtaken=overtaken)
        return verdict


def _took_s(began: float, verdict: Answered | None) -> float | None:
    """Return how long an answer took; what is no answer tells nothing of that."""
    answered = verdict is not None and not isinstance(verdict, Down | Gone | Untried)
    return time.perf_counter() - began if answered else None
