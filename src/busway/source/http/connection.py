"""One HTTP connection: parses requests and writes their responses in the same order."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

from busway.ports import AppendReceipt, DecodedEvents, RequestRefusal
from busway.source.http.admission import RequestAdmission
from busway.source.http.body import ChunkedBody, DiscardedBody, SizedBody
from busway.source.http.config import KeyRefusal
from busway.source.http.request import (
    AnyFuture,
    IncompleteRequest,
    IntakeRequest,
    append_result,
)
from busway.source.http.request_head import ParsedHead
from busway.source.http.response import (
    CONTINUE,
)
from busway.source.http.response_pipeline import ResponsePipeline
from busway.source.refusal import (
    bad_request,
    head_too_large,
    timed_out,
    too_many_in_flight,
)

MAX_PIPELINED_REQUESTS = 64
"""Limit on pipelined requests in flight per connection; further ones stay unread."""
MAX_DISCARDED_BYTES = 1024 * 1024
"""Largest body of a refused request to read and discard; a larger one ends the connection."""
_MAX_BLANK_LINES = 64
LINGER_S = 2.0
"""How long a connection that ends in the middle of a body is still read, so that the sender sees
the response."""
_NOTHING = AppendReceipt(accepted=0, duplicates=0)


class Connection(ResponsePipeline):
    """Reads requests as far as the limits allow and writes their responses in the same order."""

    def __init__(self, admission: RequestAdmission) -> None:
        super().__init__(admission)
        self._position = 0
        """The position in ``_buffer`` up to which the received bytes are parsed."""
        self._blank_lines = 0
        """Empty lines before the next head."""
        self._head_started = self._last_activity
        self._write_paused = self._handing_over = False

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
        """Keep the write side open while responses are pending."""
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
        for request in self._pipeline:
            if not request.appending:
                self._admission.close_request(request.held_bytes)
        self._pipeline.clear()
        self._admission.remove_connection(self)

    # Called by the admission

    def check_timeouts(self, now: float) -> None:
        """Time out a head, a body or an idle connection; ``now`` is monotonic."""
        limits = self._admission.limits
        if self._finished or self._write_paused:
            if now - self._last_activity > (
                limits.idle_timeout_s if self._write_paused else LINGER_S
            ):
                self._abort_unless_appending()
        elif self._incomplete is not None:
            request = self._incomplete.request
            allowed = limits.body_timeout_s + request.held_bytes / limits.min_bytes_per_s
            if now - request.started > allowed:
                self._refuse_and_close(timed_out("body"))
        elif self._position < len(self._buffer) and not self._read_paused:
            if now - self._head_started > limits.head_timeout_s:
                self._refuse_and_close(timed_out("head"))
        elif not self._pipeline and now - self._last_activity > limits.idle_timeout_s:
            self.close()

    def close_when_idle(self) -> None:
        """Close if no request is in flight."""
        if not self._pipeline and self._position >= len(self._buffer):
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _abort_unless_appending(self) -> None:
        if self._write_paused or not any(request.appending for request in self._pipeline):
            self.abort()

    # Reading

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
        must_wait = self._must_wait()
        if must_wait != self._read_paused and self._transport is not None and not self._finished:
            self._read_paused = must_wait
            if must_wait:
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
                return self._refuse_and_close(bad_request("there are too many empty lines"))
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
        admission = self._admission
        request = IntakeRequest(head, admission.config.clock.monotonic())
        admission.open_request()
        self._pipeline.append(request)
        refusal = head.refusal or admission.refusal_for(head)
        if refusal is not None:
            if refusal.status == 401:
                reason: KeyRefusal = "wrong" if head.credential else "missing"
                admission.config.on_key_refused(reason, self._peer)
            return self._refuse(request, head, refusal)
        at, length = self._position, head.length
        if length is not None and at + length <= len(self._buffer):
            self._position = at + length
            admission.in_flight_bytes += length
            request.held_bytes = request.received_bytes = length
            self._dispatch(request, head, self._buffer[at : at + length])
            return True
        limit = admission.limits.max_body_bytes
        body = ChunkedBody(limit) if length is None else SizedBody(length)
        self._incomplete = IncompleteRequest(request, head, body)
        if head.expects_continue and len(self._pipeline) == 1 and self._transport is not None:
            self._transport.write(CONTINUE)
        return True

    @property
    def _peer(self) -> str:
        peer = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def _refuse(self, request: IntakeRequest, head: ParsedHead, refusal: RequestRefusal) -> bool:
        """Discard the body, or end the connection if the body is too large or of unknown length."""
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
        body, request, admission = incomplete.body, incomplete.request, self._admission
        rest = body.feed(self._buffer[self._position :])
        if isinstance(rest, RequestRefusal):
            return self._refuse_and_close(rest)
        admission.in_flight_bytes += body.held_bytes - request.held_bytes
        request.held_bytes = body.held_bytes
        request.received_bytes += len(self._buffer) - self._position - len(rest or b"")
        self._buffer, self._position = rest or b"", 0
        over_limit = admission.is_over_limit(request.held_bytes)
        if rest is None:
            return self._refuse_and_close(too_many_in_flight("bytes")) if over_limit else False
        if over_limit and request.refusal is None:
            request.refusal = too_many_in_flight("bytes")
        self._incomplete = None
        self._dispatch(request, incomplete.head, body.content())
        return True

    def _hand_to_fallback(self, head: ParsedHead, raw: bytes) -> bool:
        """Hand over the connection, starting with this request, after all earlier responses."""
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

    # Responding

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
        decoded = self._admission.decode_here(head, body)
        if not isinstance(decoded, DecodedEvents):
            self._complete(request, decoded)
        elif not decoded.raws:
            self._complete(request, _NOTHING)
        elif large.needs_parts(decoded):
            self._await_append(request, large.append_batch(request, decoded))
        else:
            request.event_count = len(decoded.raws)
            self._await_append(
                request, self._admission.config.intake.append(decoded.raws, decoded.envelopes)
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
