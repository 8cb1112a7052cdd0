"""The writing half of a connection: responses in the order of their requests."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from typing import cast

from busway.ports import AppendReceipt, RequestAnswer, RequestRefusal
from busway.source.http.admission import RequestAdmission
from busway.source.http.request import (
    Completed,
    IncompleteRequest,
    IntakeRequest,
)
from busway.source.http.request_head import ParsedHead
from busway.source.http.response import (
    CLOSE,
    KEEP_ALIVE,
    accepted_response,
    encode_response,
    problem_response,
)


class ResponsePipeline(asyncio.Protocol):
    """Writes the responses of pipelined requests, and closes the connection after the last."""

    def __init__(self, admission: RequestAdmission) -> None:
        self._admission = admission
        self._transport: asyncio.Transport | None = None
        self._pipeline: deque[IntakeRequest] = deque()
        self._buffer = b""
        self._incomplete: IncompleteRequest | None = None
        """The last request of the pipeline while its body is incomplete."""
        self._last_activity = admission.now
        self._parsing = self._read_paused = False
        self._finished = self._eof = False
        """No further request is read; the client sends no more bytes."""
        self._body_unread = False
        """The connection ended in the middle of a request."""

    @abstractmethod
    def _resume(self) -> None:
        """Continue to read after a response was written."""

    def _complete(self, request: IntakeRequest, completed: Completed) -> None:
        if isinstance(completed, AppendReceipt):
            self._accept(request, completed)
        elif isinstance(completed, RequestRefusal):
            self._respond_refusal(request, completed)
        else:
            self._respond(request, completed)

    def _accept(self, request: IntakeRequest, appended: AppendReceipt) -> None:
        head, admission = request.head, self._admission
        source = None if head is None else head.source
        if source is not None:
            source.observer.accepted(appended, request.started)
        if source is not None and source.shapes_answers:
            self._respond(request, admission.source_response(cast(ParsedHead, head), appended))
        elif request.closes_connection or admission.draining or (head and head.is_http10):
            self._respond(request, accepted_response(appended))
        else:
            request.status, request.response_bytes = 202, admission.accepted_bytes(appended)
            self._flush()

    def _respond_refusal(self, request: IntakeRequest, refusal: RequestRefusal) -> None:
        self._admission.count_refusal(request, refusal)
        self._respond(request, problem_response(refusal))

    def _respond(self, request: IntakeRequest, response: RequestAnswer) -> None:
        """Encode the response and send all responses that are ready, in order."""
        head, last = request.head, self._pipeline[-1] is request
        if self._admission.draining and last:
            request.closes_connection = True
        if request.closes_connection:
            self._finished = True
        is_http10 = head is not None and head.is_http10
        connection = CLOSE if request.closes_connection else KEEP_ALIVE if is_http10 else None
        without_body = head is not None and head.method == "HEAD"
        request.status = response.status
        request.response_bytes = encode_response(
            response, self._admission.date, connection, without_body
        )
        self._flush()

    def _flush(self) -> None:
        queue, transport, admission = self._pipeline, self._transport, self._admission
        observer, now = admission.config.observer, admission.config.clock.monotonic()
        while queue and queue[0].response_bytes is not None and transport is not None:
            request = queue.popleft()
            transport.write(cast(bytes, request.response_bytes))
            observer.request(
                request.status,
                request.event_count,
                request.received_bytes,
                now - request.started,
            )
            admission.close_request(request.held_bytes)
            if request.closes_connection:
                self._close_gracefully()
                return
        if self._read_paused:
            self._resume()
        self._close_when_done()

    def _refuse_and_close(self, refusal: RequestRefusal) -> bool:
        """Respond with a refusal to the request being read, and read no further."""
        self._body_unread = True
        if self._incomplete is not None:
            request = self._incomplete.request
        else:
            request = IntakeRequest(None, self._admission.config.clock.monotonic())
            self._admission.open_request()
            self._pipeline.append(request)
        return self._respond_and_close(request, refusal)

    def _respond_and_close(self, request: IntakeRequest, refusal: RequestRefusal) -> bool:
        self._incomplete = None
        request.closes_connection = True
        self._respond_refusal(request, refusal)
        return False

    def _close_when_done(self) -> None:
        if not self._pipeline and not self._parsing and (self._finished or self._eof):
            self._close_gracefully()

    def _close_gracefully(self) -> None:
        """Close; wait for the client first if it may still be sending."""
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
