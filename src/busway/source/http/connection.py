"""One connection: requests in, answers out in the same order."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import cast

from busway.ports import Appended, DecodedEvents, RequestAnswer, RequestRefusal
from busway.source.http.answer import CLOSE, CONTINUE, KEEP_ALIVE, accepted, refused, to_bytes
from busway.source.http.body import ChunkedBody, SizedBody, SkippedBody
from busway.source.http.desk import Desk
from busway.source.http.exchange import AnyFuture, Completed, Exchange, Receiving, outcome
from busway.source.http.head import Head
from busway.source.http.problem import bad_request, head_too_large, timed_out, too_busy

MAX_PIPELINED = 64
"""How many requests of one connection are in flight at a time; more wait unread."""
MAX_SKIPPED_BYTES = 1024 * 1024
"""How large the body of a refused request may be to be read over; beyond it the connection ends."""
_MAX_BLANKS = 64
LINGER_S = 2.0
"""How long a connection that was ended in the middle of a body goes on being read, so that its
sender gets to see the answer."""


_NOTHING = Appended(accepted=0, duplicates=0)


class Connection(asyncio.Protocol):
    """Reads requests as far as limits allow, and writes their answers in the same order."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._transport: asyncio.Transport | None = None
        self._queue: deque[Exchange] = deque()
        self._rest = b""
        self._at = 0
        """What has come, and how far it has been read."""
        self._blanks = 0
        """Empty lines before the next head."""
        self._receiving: Receiving | None = None
        """The last one of the queue, while its body is incomplete."""
        self._since = self._touched = desk.now
        self._advancing = self._paused = self._clogged = self._leaving = False
        self._ended = self._eof = False
        """Nothing more is wanted from this connection; nothing more can come."""
        self._unread = False
        """It was ended in the middle of a request."""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._desk.enter(self)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._touched = self._desk.now
        if self._at < len(self._rest):
            data = self._rest[self._at :] + data
        elif self._receiving is None:
            self._since = self._touched
        self._rest, self._at = data, 0
        if not self._paused:
            self._advance()

    def eof_received(self) -> bool:
        """Keep the way out open while answers are still to be sent."""
        self._eof = True
        return bool(self._queue) and self._receiving is None

    def pause_writing(self) -> None:
        self._clogged = True
        self._regulate()

    def resume_writing(self) -> None:
        self._clogged = False
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._ended = True
        self._rest = b""
        for exchange in self._queue:
            if not exchange.appending:
                self._desk.close_request(exchange.size)
        self._queue.clear()
        self._desk.leave(self)

    # What the desk calls.

    def check(self, now: float) -> None:
        """Give up what has taken too long; ``now`` is monotonic."""
        limits = self._desk.limits
        if self._ended or self._clogged:
            if now - self._touched > (limits.idle_timeout_s if self._clogged else LINGER_S):
                self._give_up()
        elif self._receiving is not None:
            exchange = self._receiving.exchange
            allowed = limits.body_timeout_s + exchange.size / limits.min_bytes_per_s
            if now - exchange.started > allowed:
                self._break_off(timed_out("body"))
        elif self._at < len(self._rest) and not self._paused:
            if now - self._since > limits.head_timeout_s:
                self._break_off(timed_out("head"))
        elif not self._queue and now - self._touched > limits.idle_timeout_s:
            self.close()

    def retire(self) -> None:
        """Close when there is nothing in flight."""
        if not self._queue and self._at >= len(self._rest):
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self) -> None:
        if self._clogged or not any(exchange.appending for exchange in self._queue):
            self.abort()

    # Reading.

    def _advance(self) -> None:
        self._advancing = True
        while self._at < len(self._rest) and not self._ended and not self._full():
            receiving = self._receiving
            if not (self._read_head() if receiving is None else self._read_body(receiving)):
                break
        self._advancing = False
        if self._at >= len(self._rest):
            self._rest, self._at = b"", 0
        self._regulate()
        self._end_when_done()

    def _full(self) -> bool:
        return self._clogged or self._leaving or len(self._queue) >= MAX_PIPELINED

    def _regulate(self) -> None:
        full = self._full()
        if full != self._paused and self._transport is not None and not self._ended:
            self._paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _go_on(self) -> None:
        self._since = self._desk.now
        if not self._queue:
            self._leaving = False
        self._regulate()
        if not self._paused and not self._advancing:
            self._advance()

    def _read_head(self) -> bool:
        rest, at = self._rest, self._at
        while rest.startswith(b"\r\n", at):
            at = self._at = at + 2
            self._blanks += 1
            if self._blanks > _MAX_BLANKS:
                return self._break_off(bad_request("there are only empty lines"))
        end = rest.find(b"\r\n\r\n", at) + 4
        limit = self._desk.limits.max_head_bytes
        if (end if end > 3 else len(rest)) - at > limit:
            return self._break_off(head_too_large(limit))
        if end == 3:
            return False
        raw = rest[at:end]
        head = self._desk.heads.known(raw) or self._desk.heads.read(raw)
        if isinstance(head, RequestRefusal):
            return self._break_off(head)
        if head.route == "elsewhere" and self._desk.config.fallback and not self._desk.draining:
            return self._leave(head, raw)
        self._at, self._blanks = end, 0
        return self._begin(head)

    def _begin(self, head: Head) -> bool:
        desk = self._desk
        exchange = Exchange(head, desk.config.clock.monotonic())
        desk.open_request()
        self._queue.append(exchange)
        refusal = head.refusal or desk.refusal_for(head)
        if refusal is not None:
            if refusal.status == 401:
                desk.config.refused("wrong" if head.credential else "missing", self._peer)
            return self._turn_away(exchange, head, refusal)
        at, length = self._at, head.length
        if length is not None and at + length <= len(self._rest):
            self._at = at + length
            desk.held_bytes += length
            exchange.size = exchange.received = length
            self._take(exchange, head, self._rest[at : at + length])
            return True
        limit = desk.limits.max_body_bytes
        body = ChunkedBody(limit) if length is None else SizedBody(length)
        self._receiving = Receiving(exchange, head, body)
        if head.expects and len(self._queue) == 1 and self._transport is not None:
            self._transport.write(CONTINUE)
        return True

    @property
    def _peer(self) -> str:
        found = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(found[0]) if found else ""

    def _turn_away(self, exchange: Exchange, head: Head, refusal: RequestRefusal) -> bool:
        """Read over the body, or end the connection where that is too much or not worth it."""
        length = head.length
        if length is None or length > MAX_SKIPPED_BYTES or head.expects or refusal.closes:
            self._unread = True
            return self._close_with(exchange, refusal)
        exchange.refusal = refusal
        self._receiving = Receiving(exchange, head, SkippedBody(length))
        return self._read_body(self._receiving)

    def _read_body(self, receiving: Receiving) -> bool:
        body, exchange, desk = receiving.body, receiving.exchange, self._desk
        left = body.feed(self._rest[self._at :])
        if isinstance(left, RequestRefusal):
            return self._break_off(left)
        desk.held_bytes += body.size - exchange.size
        exchange.size = body.size
        exchange.received += len(self._rest) - self._at - len(left or b"")
        self._rest, self._at = left or b"", 0
        crowded = desk.crowded(exchange.size)
        if left is None:
            return self._break_off(too_busy("bytes")) if crowded else False
        if crowded and exchange.refusal is None:
            exchange.refusal = too_busy("bytes")
        self._receiving = None
        self._take(exchange, receiving.head, body.content())
        return True

    def _leave(self, head: Head, raw: bytes) -> bool:
        """Hand the connection over, from this request on, once what came before is answered."""
        if self._queue:
            self._leaving = True
            return False
        transport, fallback = self._transport, self._desk.config.fallback
        if transport is None or fallback is None:
            return False
        rest, self._rest = self._rest[self._at + len(raw) :], b""
        if not head.upgrades:
            raw = raw[:-2] + b"connection: close\r\n\r\n"
        self._ended, self._transport = True, None
        self._desk.leave(self)
        protocol = fallback()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(raw + rest)
        return False

    # Answering.

    def _take(self, exchange: Exchange, head: Head, body: bytes) -> None:
        if not head.keeps_alive:
            self._ended = exchange.closes = True
        if exchange.refusal is not None:
            self._refuse(exchange, exchange.refusal)
        elif head.decode is None:
            self._finish(exchange, self._desk.report(head))
        else:
            self._append(exchange, head, body)

    def _append(self, exchange: Exchange, head: Head, body: bytes) -> None:
        large = self._desk.large
        if large.is_large(head, body):
            self._hand_over(exchange, large.append(exchange, head, body))
            return
        found = self._desk.decode_here(head, body)
        if not isinstance(found, DecodedEvents):
            self._complete(exchange, found)
        elif not found.raws:
            self._complete(exchange, _NOTHING)
        elif large.has_many(found):
            self._hand_over(exchange, large.append_parcel(exchange, found))
        else:
            exchange.events = len(found.raws)
            self._hand_over(exchange, self._desk.config.intake.append(found.raws, found.envelopes))

    def _hand_over(self, exchange: Exchange, future: AnyFuture) -> None:
        exchange.appending = True
        future.add_done_callback(partial(self._appended, exchange))

    def _appended(self, exchange: Exchange, future: AnyFuture) -> None:
        exchange.appending = False
        if self._transport is None:
            self._desk.close_request(exchange.size)
            if not future.cancelled():
                future.exception()
            return
        self._complete(exchange, outcome(future))

    def _complete(self, exchange: Exchange, completed: Completed) -> None:
        if isinstance(completed, Appended):
            self._accept(exchange, completed)
        elif isinstance(completed, RequestRefusal):
            self._refuse(exchange, completed)
        else:
            self._finish(exchange, completed)

    def _accept(self, exchange: Exchange, appended: Appended) -> None:
        head, desk = exchange.head, self._desk
        source = None if head is None else head.source
        if source is not None:
            source.observer.accepted(appended, exchange.started)
        if source is not None and source.shapes_answers:
            self._finish(exchange, desk.shaped(cast(Head, head), appended))
        elif exchange.closes or desk.draining or (head and head.old):
            self._finish(exchange, accepted(appended))
        else:
            exchange.status, exchange.output = 202, desk.accepted(appended)
            self._flush()

    def _refuse(self, exchange: Exchange, refusal: RequestRefusal) -> None:
        self._desk.count_refusal(exchange, refusal)
        self._finish(exchange, refused(refusal))

    def _finish(self, exchange: Exchange, answer: RequestAnswer) -> None:
        """Put the answer into bytes and send what is ready, in order."""
        head, last = exchange.head, self._queue[-1] is exchange
        if self._desk.draining and last:
            exchange.closes = True
        if exchange.closes:
            self._ended = True
        keeps = KEEP_ALIVE if head is not None and head.old else None
        silent = head is not None and head.method == "HEAD"
        exchange.status = answer.status
        exchange.output = to_bytes(
            answer, self._desk.date, CLOSE if exchange.closes else keeps, silent
        )
        self._flush()

    def _flush(self) -> None:
        queue, transport, desk = self._queue, self._transport, self._desk
        observer, now = desk.config.observer, desk.config.clock.monotonic()
        while queue and queue[0].output is not None and transport is not None:
            exchange = queue.popleft()
            transport.write(cast(bytes, exchange.output))
            observer.request(
                exchange.status, exchange.events, exchange.received, now - exchange.started
            )
            desk.close_request(exchange.size)
            if exchange.closes:
                self._end()
                return
        if self._paused:
            self._go_on()
        self._end_when_done()

    def _break_off(self, refusal: RequestRefusal) -> bool:
        """RequestAnswer what came with a refusal, and read no further."""
        self._unread = True
        if self._receiving is not None:
            exchange = self._receiving.exchange
        else:
            exchange = Exchange(None, self._desk.config.clock.monotonic())
            self._desk.open_request()
            self._queue.append(exchange)
        return self._close_with(exchange, refusal)

    def _close_with(self, exchange: Exchange, refusal: RequestRefusal) -> bool:
        self._receiving = None
        exchange.closes = True
        self._refuse(exchange, refusal)
        return False

    def _end_when_done(self) -> None:
        if not self._queue and not self._advancing and (self._ended or self._eof):
            self._end()

    def _end(self) -> None:
        """Close; after a while where the sender may still be sending."""
        transport = self._transport
        self._ended, self._rest = True, b""
        if transport is None or transport.is_closing():
            return
        if not self._unread or self._eof or not transport.can_write_eof():
            transport.close()
            return
        self._unread = False
        self._touched = self._desk.now
        transport.write_eof()
        if self._paused:
            transport.resume_reading()
