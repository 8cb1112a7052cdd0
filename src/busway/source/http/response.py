"""Responses of the intake and their encoding."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus

from busway.ports import AppendReceipt, RequestAnswer, RequestRefusal

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = ("connection", "close")
KEEP_ALIVE = ("connection", "keep-alive")
_REASON_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large"
}


def encode_response(
    response: RequestAnswer, date: bytes, connection: tuple[str, str] | None, without_body: bool
) -> bytes:
    """Return the bytes of a response; ``without_body`` leaves out the body (HEAD)."""
    lines = [
        f"HTTP/1.1 {response.status} {_REASON_PHRASES[response.status]}",
        f"date: {date.decode()}",
    ]
    lines += [f"{name}: {value}" for name, value in response.headers]
    if response.status != 204:
        lines.append(f"content-length: {len(response.body)}")
    if connection is not None:
        lines.append(f"{connection[0]}: {connection[1]}")
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    return head if without_body else head + response.body


def problem_response(refusal: RequestRefusal) -> RequestAnswer:
    """Return a response with the problem document of a refusal."""
    headers = (("content-type", "application/problem+json"), *refusal.headers)
    return RequestAnswer(refusal.status, refusal.document(), headers)


def accepted_response(appended: AppendReceipt) -> RequestAnswer:
    """Return the response that events are durable."""
    body = b'{"accepted":%d,"duplicates":%d}' % (appended.accepted, appended.duplicates)
    return RequestAnswer(202, body, (("content-type", "application/json"),))


def text_response(
    status: int, body: bytes, content_type: str = "text/plain; charset=utf-8"
) -> RequestAnswer:
    """Return a response with a text."""
    return RequestAnswer(
        status, body, (("content-type", content_type), ("cache-control", "no-store"))
    )


def http_date(at: datetime) -> bytes:
    """Return a time in the format of HTTP (RFC 9110, section 5.6.7).

    >>> from datetime import UTC
    >>> http_date(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    b'Fri, 02 Jan 2026 03:04:05 GMT'
    """
    return format_datetime(at, usegmt=True).encode()
