"""One connection: requests in, answers out in the same order."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import cast

from busway.ports import AppendReceipt, DecodedEvents, RequestAnswer, RequestRefusal
from busway.source.http.admission import RequestAdmission
from busway.source.http.body import ChunkedBody, DiscardedBody, SizedBody
from busway.source.http.request import (
    AnyFuture,
    Completed,
    IncompleteRequest,
    IntakeRequest,
    append_result,
)
from busway.source.http.request_head import ParsedHead
from busway.source.http.response import (
    CLOSE,
    CONTINUE,
    KEEP_ALIVE,
    accepted_response,
    encode_response,
    problem_response,
)
from busway.source.problem import (
    bad_request,
    head_too_large,
    timed_out,
    too_many_in_flight,
)

MAX_PIPELINED_REQUESTS = 64
"""How many requests of one connection are in flight at a time; more wait unread."""
MAX_DISCARDED_BYTES = 1024 * 1024
"""How large the body of a refused request may be to be read over; beyond it the connection ends."""
_MAX_BLANK_LINES = 64
LINGER_S = 2.0
"""How long a connection that was ended in the middle of a body goes on being read, so that its
sender gets to see the answer."""


_NOTHING = AppendReceipt(accepted=0, duplicates=0)


class Connection(asyncio.Protocol):
    """Reads requests as far as limits allow, and writes their answers in the same order."""

    def __init__(self, admission: RequestAdmission) -> None:
        self._admission = admission
        self._transport: asyncio.Transport | None = None
        self._pipeline: deque[IntakeRequest] = deque()
        self._buffer = b""
        self._position = 0
        """What has come, and how far it has been read."""
        self._blank_lines = 0
        """Empty lines before the next head."""
        self._incomplete: IncompleteRequest | None = None
        """The last one of the queue, while its body is incomplete."""
        self._head_started = self._last_activity = admission.now
        self._parsing = self._read_paused = self._write_paused = self._handing_over = False
        self._finished = self._eof = False
        """Nothing more is wanted from this connection; nothing more can come."""
        self._body_unread = False
        """It was ended in the middle of a request."""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._admission.add_connection(self)

    def data_received(self, data: bytes) -> None:
        if self._finished:
            return
        self._last_activity = self._admission.now
        if self._position < len(self._buffer):
            data = self._buffer[self._position :] + data
        elif self._incomplete is None:
            self._head_started = self._last_activity
        self._buffer, self._position = data, 0
        if not self._read_paused:
            self._parse_buffer()

    def eof_received(self) -> bool:
        """Keep the way out open while answers are still to be sent."""
        self._eof = True
        return bool(self._pipeline) and self._incomplete is None

    def pause_writing(self) -> None:
        self._write_paused = True
        self._apply_backpressure()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._finished = True
        self._buffer = b""
        for exchange in self._pipeline:
            if not exchange.appending:
                self._admission.close_request(exchange.held_bytes)
        self._pipeline.clear()
        self._admission.remove_connection(self)

    # What the desk calls.

    def check_timeouts(self, now: float) -> None:
        """Give up what has taken too long; ``now`` is monotonic."""
        limits = self._admission.limits
        if self._finished or self._write_paused:
            if now - self._last_activity > (
                limits.idle_timeout_s if self._write_paused else LINGER_S
            ):
                self._abort_unless_appending()
        elif self._incomplete is not None:
            exchange = self._incomplete.request
            allowed = limits.body_timeout_s + exchange.held_bytes / limits.min_bytes_per_s
            if now - exchange.started > allowed:
                self._refuse_and_close(timed_out("body"))
        elif self._position < len(self._buffer) and not self._read_paused:
            if now - self._head_started > limits.head_timeout_s:
                self._refuse_and_close(timed_out("head"))
        elif not self._pipeline and now - self._last_activity > limits.idle_timeout_s:
            self.close()

    def close_when_idle(self) -> None:
        """Close when there is nothing in flight."""
        if not self._pipeline and self._position >= len(self._buffer):
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _abort_unless_appending(self) -> None:
        if self._write_paused or not any(exchange.appending for exchange in self._pipeline):
            self.abort()

    # Reading.

    def _parse_buffer(self) -> None:
        self._parsing = True
        while self._position < len(self._buffer) and not self._finished and not self._must_wait():
            receiving = self._incomplete
            if not (self._read_head() if receiving is None else self._read_body(receiving)):
                break
        self._parsing = False
        if self._position >= len(self._buffer):
            self._buffer, self._position = b"", 0
        self._apply_backpressure()
        self._close_when_done()

    def _must_wait(self) -> bool:
        return (
            self._write_paused
            or self._handing_over
            or len(self._pipeline) >= MAX_PIPELINED_REQUESTS
        )

    def _apply_backpressure(self) -> None:
        full = self._must_wait()
        if full != self._read_paused and self._transport is not None and not self._finished:
            self._read_paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _resume(self) -> None:
        self._head_started = self._admission.now
        if not self._pipeline:
            self._handing_over = False
        self._apply_backpressure()
        if not self._read_paused and not self._parsing:
            self._parse_buffer()

    def _read_head(self) -> bool:
        rest, at = self._buffer, self._position
        while rest.startswith(b"\r\n", at):
            at = self._position = at + 2
            self._blank_lines += 1
            if self._blank_lines > _MAX_BLANK_LINES:
                return self._refuse_and_close(bad_request("there are only empty lines"))
        end = rest.find(b"\r\n\r\n", at) + 4
        limit = self._admission.limits.max_head_bytes
        if (end if end > 3 else len(rest)) - at > limit:
            return self._refuse_and_close(head_too_large(limit))
        if end == 3:
            return False
        raw = rest[at:end]
        head = self._admission.head_parser.cached(raw) or self._admission.head_parser.parse(raw)
        if isinstance(head, RequestRefusal):
            return self._refuse_and_close(head)
        if (
            head.route == "elsewhere"
            and self._admission.config.fallback
            and not self._admission.draining
        ):
            return self._hand_to_fallback(head, raw)
        self._position, self._blank_lines = end, 0
        return self._begin_request(head)

    def _begin_request(self, head: ParsedHead) -> bool:
        desk = self._admission
        exchange = IntakeRequest(head, desk.config.clock.monotonic())
        desk.open_request()
        self._pipeline.append(exchange)
        refusal = head.refusal or desk.refusal_for(head)
        if refusal is not None:
            if refusal.status == 401:
                desk.config.on_key_refused("wrong" if head.credential else "missing", self._peer)
            return self._refuse(exchange, head, refusal)
        at, length = self._position, head.length
        if length is not None and at + length <= len(self._buffer):
            self._position = at + length
            desk.in_flight_bytes += length
            exchange.held_bytes = exchange.received_bytes = length
            self._dispatch(exchange, head, self._buffer[at : at + length])
            return True
        limit = desk.limits.max_body_bytes
        body = ChunkedBody(limit) if length is None else SizedBody(length)
        self._incomplete = IncompleteRequest(exchange, head, body)
        if head.expects_continue and len(self._pipeline) == 1 and self._transport is not None:
            self._transport.write(CONTINUE)
        return True

    @property
    def _peer(self) -> str:
        found = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(found[0]) if found else ""

    def _refuse(self, request: IntakeRequest, head: ParsedHead, refusal: RequestRefusal) -> bool:
        """Read over the body, or end the connection where that is too much or not worth it."""
        length = head.length
        if (
            length is None
            or length > MAX_DISCARDED_BYTES
            or head.expects_continue
            or refusal.closes
        ):
            self._body_unread = True
            return self._respond_and_close(request, refusal)
        request.refusal = refusal
        self._incomplete = IncompleteRequest(request, head, DiscardedBody(length))
        return self._read_body(self._incomplete)

    def _read_body(self, incomplete: IncompleteRequest) -> bool:
        body, exchange, desk = incomplete.body, incomplete.request, self._admission
        left = body.feed(self._buffer[self._position :])
        if isinstance(left, RequestRefusal):
            return self._refuse_and_close(left)
        desk.in_flight_bytes += body.held_bytes - exchange.held_bytes
        exchange.held_bytes = body.held_bytes
        exchange.received_bytes += len(self._buffer) - self._position - len(left or b"")
        self._buffer, self._position = left or b"", 0
        crowded = desk.is_over_limit(exchange.held_bytes)
        if left is None:
            return self._refuse_and_close(too_many_in_flight("bytes")) if crowded else False
        if crowded and exchange.refusal is None:
            exchange.refusal = too_many_in_flight("bytes")
        self._incomplete = None
        self._dispatch(exchange, incomplete.head, body.content())
        return True

    def _hand_to_fallback(self, head: ParsedHead, raw: bytes) -> bool:
        """Hand the connection over, from this request on, once what came before is answered."""
        if self._pipeline:
            self._handing_over = True
            return False
        transport, fallback = self._transport, self._admission.config.fallback
        if transport is None or fallback is None:
            return False
        rest, self._buffer = self._buffer[self._position + len(raw) :], b""
        if not head.is_upgrade:
            raw = raw[:-2] + b"connection: close\r\n\r\n"
        self._finished, self._transport = True, None
        self._admission.remove_connection(self)
        protocol = fallback()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(raw + rest)
        return False

    # Answering.

    def _dispatch(self, request: IntakeRequest, head: ParsedHead, body: bytes) -> None:
        if not head.keep_alive:
            self._finished = request.closes_connection = True
        if request.refusal is not None:
            self._respond_refusal(request, request.refusal)
        elif head.decode is None:
            self._respond(request, self._admission.answer_route(head))
        else:
            self._append(request, head, body)

    def _append(self, request: IntakeRequest, head: ParsedHead, body: bytes) -> None:
        large = self._admission.large_bodies
        if large.is_large(head, body):
            self._await_append(request, large.append(request, head, body))
            return
        found = self._admission.decode_here(head, body)
        if not isinstance(found, DecodedEvents):
            self._complete(request, found)
        elif not found.raws:
            self._complete(request, _NOTHING)
        elif large.needs_parts(found):
            self._await_append(request, large.append_batch(request, found))
        else:
            request.event_count = len(found.raws)
            self._await_append(
                request, self._admission.config.intake.append(found.raws, found.envelopes)
            )

    def _await_append(self, request: IntakeRequest, future: AnyFuture) -> None:
        request.appending = True
        future.add_done_callback(partial(self._appended, request))

    def _appended(self, request: IntakeRequest, future: AnyFuture) -> None:
        request.appending = False
        if self._transport is None:
            self._admission.close_request(request.held_bytes)
            if not future.cancelled():
                future.exception()
            return
        self._complete(request, append_result(future))

    def _complete(self, exchange: IntakeRequest, completed: Completed) -> None:
        if isinstance(completed, AppendReceipt):
            self._accept(exchange, completed)
        elif isinstance(completed, RequestRefusal):
            self._respond_refusal(exchange, completed)
        else:
            self._respond(exchange, completed)

    def _accept(self, exchange: IntakeRequest, appended: AppendReceipt) -> None:
        head, desk = exchange.head, self._admission
        source = None if head is None else head.source
        if source is not None:
            source.observer.accepted(appended, exchange.started)
        if source is not None and source.shapes_answers:
            self._respond(exchange, desk.shaped(cast(ParsedHead, head), appended))
        elif exchange.closes_connection or desk.draining or (head and head.is_http10):
            self._respond(exchange, accepted_response(appended))
        else:
            exchange.status, exchange.response_bytes = 202, desk.accepted_bytes(appended)
            self._flush()

    def _respond_refusal(self, exchange: IntakeRequest, refusal: RequestRefusal) -> None:
        self._admission.count_refusal(exchange, refusal)
        self._respond(exchange, problem_response(refusal))

    def _respond(self, request: IntakeRequest, response: RequestAnswer) -> None:
        """Put the answer into bytes and send what is ready, in order."""
        head, last = request.head, self._pipeline[-1] is request
        if self._admission.draining and last:
            request.closes_connection = True
        if request.closes_connection:
            self._finished = True
        keeps = KEEP_ALIVE if head is not None and head.is_http10 else None
        silent = head is not None and head.method == "HEAD"
        request.status = response.status
        request.response_bytes = encode_response(
            response, self._admission.date, CLOSE if request.closes_connection else keeps, silent
        )
        self._flush()

    def _flush(self) -> None:
        queue, transport, desk = self._pipeline, self._transport, self._admission
        observer, now = desk.config.observer, desk.config.clock.monotonic()
        while queue and queue[0].response_bytes is not None and transport is not None:
            exchange = queue.popleft()
            transport.write(cast(bytes, exchange.response_bytes))
            observer.request(
                exchange.status,
                exchange.event_count,
                exchange.received_bytes,
                now - exchange.started,
            )
            desk.close_request(exchange.held_bytes)
            if exchange.closes_connection:
                self._close_gracefully()
                return
        if self._read_paused:
            self._resume()
        self._close_when_done()

    def _refuse_and_close(self, refusal: RequestRefusal) -> bool:
        """RequestAnswer what came with a refusal, and read no further."""
        self._body_unread = True
        if self._incomplete is not None:
            exchange = self._incomplete.request
        else:
            exchange = IntakeRequest(None, self._admission.config.clock.monotonic())
            self._admission.open_request()
            self._pipeline.append(exchange)
        return self._respond_and_close(exchange, refusal)

    def _respond_and_close(self, request: IntakeRequest, refusal: RequestRefusal) -> bool:
        self._incomplete = None
        request.closes_connection = True
        self._respond_refusal(request, refusal)
        return False

    def _close_when_done(self) -> None:
        if not self._pipeline and not self._parsing and (self._finished or self._eof):
            self._close_gracefully()

    def _close_gracefully(self) -> None:
        """Close; after a while where the sender may still be sending."""
        transport = self._transport
        self._finished, self._buffer = True, b""
        if transport is None or transport.is_closing():
            return
        if not self._body_unread or self._eof or not transport.can_write_eof():
            transport.close()
            return
        self._body_unread = False
        self._last_activity = self._admission.now
        transport.write_eof()
        if self._read_paused:
            transport.resume_reading()
