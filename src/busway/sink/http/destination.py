"""An opened ``http`` sink: sends requests and returns the outcomes that the responses mean."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import aiohttp
import msgspec

from busway.outcome import (
    BLOCKED_BY_KEY,
    DELIVERED,
    NOT_ATTEMPTED,
    Delivered,
    Down,
    Gone,
    NotAttempted,
    Outcome,
    RateLimited,
    Rejected,
    Retry,
)
from busway.ports import Load
from busway.sink.http.connection import (
    HttpExchange,
    error_cause,
    open_session,
    why_unreachable,
)
from busway.sink.http.endpoint import Endpoint
from busway.sink.http.request import (
    EncodedItem,
    HttpRequest,
    batch_request,
    encode_item,
    group_by_key,
    group_by_size,
    single_requests,
)
from busway.sink.http.response import ResponseOutcome, Unavailable, outcome_of

RequestOutcome = ResponseOutcome | Down | NotAttempted
_SPLIT_ON = ("http 400", "http 413", "http 422")
"""Rejections of a batch that a single event may have caused."""
_MAX_WORKERS = 64
_MAX_CONSECUTIVE_FAILURES = 20
"""After this many consecutive failures a load stops, so that the breaker can decide."""
_MAX_CONSECUTIVE_REFUSALS = 8
"""After at most this many consecutive refusals a load stops."""
_MAX_CONSECUTIVE_LIMITED = 3
_PING_TIMEOUT_S = 5.0


class HttpDestination:
    """Keeps connections open; each request of a load holds a permit."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._session = open_session(endpoint.timeout_s)

    async def write(self, load: Load) -> Sequence[Outcome]:
        return await HttpLoadWriter(self, load).run()

    async def ping(self) -> Down | None:
        reason = await why_unreachable(
            self.endpoint.url, min(self.endpoint.timeout_s, _PING_TIMEOUT_S)
        )
        return None if reason is None else self._unreachable(reason)

    async def close(self) -> None:
        await self._session.close()

    async def send(self, request: HttpRequest) -> RequestOutcome:
        """Send a request and return its outcome; retry if a kept connection was closed."""
        exchange, timeout_s = HttpExchange(), self.endpoint.timeout_s
        try:
            try:
                return await self._send_once(request, exchange)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise
                return await self._send_once(request, exchange)
        except aiohttp.ClientConnectorError as error:
            return self._unreachable(error_cause(error))
        except TimeoutError:
            if not exchange.connected:
                return self._unreachable(f"no connection within {timeout_s} s")
            return Unavailable("timeout", f"no answer within {timeout_s} s")
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            return Unavailable("no answer", f"the connection broke: {error_cause(error)}")

    def _unreachable(self, reason: str) -> Down:
        return Down(f"{self.endpoint.name} cannot be reached: {reason}", error="no connection")

    async def _send_once(
        self, request: HttpRequest, http_exchange: HttpExchange
    ) -> ResponseOutcome:
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
                trace_request_ctx=http_exchange,
            ) as response:
                await http_exchange.receive(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if isinstance(error, aiohttp.ClientResponseError):
                http_exchange.fail(error)
            if http_exchange.response is None:  # an error after the status is irrelevant
                raise
        if http_exchange.response is None:
            raise AssertionError("a request ends with a response or an error")
        return outcome_of(http_exchange.response, datetime.now(UTC))


class HttpLoadWriter:
    """Writes one load."""

    def __init__(self, destination: HttpDestination, load: Load) -> None:
        self._destination = destination
        self._load = load
        self._max_refusals = max(
            2, min(destination.endpoint.max_in_flight, _MAX_CONSECUTIVE_REFUSALS)
        )
        self._request_outcomes: list[RequestOutcome] = [BLOCKED_BY_KEY] * len(load.items)
        self._blocked_by: dict[int, int] = {}
        self._stopped = False
        self._consecutive_refusals = self._consecutive_failures = 0
        self._sequence = self._last_delivered = 0
        self._refused_at: dict[int, int] = {}

    async def run(self) -> Sequence[Outcome]:
        """Return the outcome of each item."""
        chains = self._chains()
        queue = iter(chains)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._workers, len(chains))):
                group.create_task(self._run_chains(queue))
        return self._final_outcomes()

    @property
    def _workers(self) -> int:
        """Number of workers: more than there are permits, as their number may grow at any time."""
        max_in_flight = self._destination.endpoint.max_in_flight
        return max_in_flight if self._load.permits is None else max(max_in_flight, _MAX_WORKERS)

    def _chains(self) -> list[list[list[EncodedItem]]]:
        """Return chains of groups: chains run concurrently, the groups of a chain in order."""
        parts: list[EncodedItem] = []
        for index, item in enumerate(self._load.items):
            part = encode_item(index, item)
            if isinstance(part, Rejected):
                self._request_outcomes[index] = part
            elif part.bodies:
                parts.append(part)
            else:
                self._request_outcomes[index] = DELIVERED
        size = self._destination.endpoint.batch
        if size is None:
            return [[[part] for part in chain] for chain in group_by_key(parts, self._load)]
        groups = group_by_size(parts, size)
        return [groups] if self._load.ordered else [[group] for group in groups]

    async def _run_chains(self, queue: Iterator[list[list[EncodedItem]]]) -> None:
        for chain in queue:
            failed: dict[str, int] = {}
            for group in chain:
                await self._send_unblocked(group, failed)

    async def _send_unblocked(self, group: Sequence[EncodedItem], failed: dict[str, int]) -> None:
        """Send a group without the items that are blocked by an earlier item of their key."""
        unblocked: list[EncodedItem] = []
        for part in group:
            if part.order_key in failed:
                self._blocked_by[part.index] = failed[part.order_key]
            else:
                unblocked.append(part)
        if unblocked:
            await self._send_or_split(unblocked)
        if self._load.ordered:
            for part in unblocked:
                if (
                    part.order_key is not None
                    and self._request_outcomes[part.index] is not DELIVERED
                ):
                    failed.setdefault(part.order_key, part.index)

    async def _send_or_split(self, group: Sequence[EncodedItem]) -> None:
        outcome = await self._send_with_permit(group)
        if isinstance(outcome, Rejected) and outcome.error in _SPLIT_ON and len(group) > 1:
            middle = len(group) // 2
            await self._send_or_split(group[:middle])
            await self._send_or_split(group[middle:])
            return
        for part in group:
            self._request_outcomes[part.index] = outcome

    async def _send_with_permit(self, group: Sequence[EncodedItem]) -> RequestOutcome:
        """Send a group while holding a permit, unless the load was stopped meanwhile."""
        permits = self._load.permits
        if permits is not None and not await permits.acquire():
            self._stopped = True
            return NOT_ATTEMPTED
        self._sequence = sequence = self._sequence + 1
        started, outcome = time.perf_counter(), None
        try:
            outcome = NOT_ATTEMPTED if self._stopped else await self._send_requests(group)
        finally:
            if permits is not None:
                refused = isinstance(outcome, Unavailable | RateLimited)
                permits.release(_latency_s(started, outcome), refused=refused)
        self._count_outcome(outcome, sequence, group)
        return outcome

    async def _send_requests(self, group: Sequence[EncodedItem]) -> RequestOutcome:
        if self._destination.endpoint.batch is not None:
            return await self._destination.send(
                batch_request(group, self._destination.endpoint.batch_format)
            )
        (part,) = group
        for request in single_requests(self._load.items[part.index], part):
            outcome = await self._destination.send(request)
            if not isinstance(outcome, Delivered):
                return outcome
        return DELIVERED

    def _count_outcome(
        self, outcome: RequestOutcome, sequence: int, group: Sequence[EncodedItem]
    ) -> None:
        """Count consecutive failures; stop the load once the breaker has to decide."""
        if isinstance(outcome, Down | Gone):
            self._stopped = True
        elif isinstance(outcome, Unavailable | RateLimited):
            self._refused_at |= {part.index: sequence for part in group}
            self._consecutive_refusals += 1
            max_refusals = self._max_refusals
            if isinstance(outcome, RateLimited):
                max_refusals = _MAX_CONSECUTIVE_LIMITED if self._last_delivered else 1
            self._stopped |= self._consecutive_refusals >= max_refusals
        elif isinstance(outcome, Retry):
            self._consecutive_failures += 1
            self._stopped |= self._consecutive_failures >= _MAX_CONSECUTIVE_FAILURES
        elif isinstance(outcome, Delivered):
            self._consecutive_refusals = self._consecutive_failures = 0
            self._last_delivered = max(self._last_delivered, sequence)

    def _final_outcomes(self) -> Sequence[Outcome]:
        return [self._final_outcome(index) for index in range(len(self._request_outcomes))]

    def _final_outcome(self, index: int) -> Outcome:
        if index in self._blocked_by:
            first = self._final_outcome(self._blocked_by[index])
            return (
                NOT_ATTEMPTED if isinstance(first, Down | Gone | NotAttempted) else BLOCKED_BY_KEY
            )
        outcome = self._request_outcomes[index]
        if isinstance(outcome, Unavailable | RateLimited):
            later_delivered = self._refused_at[index] < self._last_delivered
            limited = outcome.as_down if isinstance(outcome, Unavailable) else outcome
            return msgspec.structs.replace(limited, later_delivered=later_delivered)
        return outcome


def _latency_s(started: float, outcome: RequestOutcome | None) -> float | None:
    """Return the latency of a response, ``None`` if there was none."""
    answered = outcome is not None and not isinstance(outcome, Down | Gone | NotAttempted)
    return time.perf_counter() - started if answered else None
