"""Connections of the ``http`` sink, which keep the status of a response that is otherwise bad."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from busway.sink.http.response import HttpResponse, decompressed, status_of

_MAX_LINE_BYTES = 65_536
"""Longest line and field of a response head, in bytes."""
_MAX_FIELDS = 1024
_MAX_BODY_BYTES = 8192
_BODY_TIMEOUT_S = 1.0
"""Time limit for the rest of a response body, in seconds."""


class InvalidHttpResponse(HttpProcessingError):
    """A response that cannot be parsed; ``status`` is that of its status line, if any."""

    status: int | None = None


class _ResponseHandler(ResponseHandler):
    """Keeps the beginning of each response to find the status if parsing fails."""

    _beginning = b""

    def set_response_params(self, **params: Any) -> None:
        self._beginning = b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if len(self._beginning) < _MAX_LINE_BYTES:
            self._beginning += data[:_MAX_LINE_BYTES]
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: Any) -> None:
        if isinstance(exc, HttpProcessingError):
            invalid = InvalidHttpResponse(code=exc.code, message=exc.message, headers=exc.headers)
            invalid.status, exc = status_of(self._beginning), invalid
        super().set_exception(exc, *cause)


def make_connector() -> aiohttp.TCPConnector:
    """Return a connector without a limit on connections."""
    connector = aiohttp.TCPConnector(limit=0)
    connector._factory = partial(_response_handler, loop=asyncio.get_running_loop())
    return connector


def _response_handler(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _ResponseHandler(loop)


def open_session(timeout_s: float) -> aiohttp.ClientSession:
    """Return a session that neither decompresses responses nor keeps cookies."""
    return aiohttp.ClientSession(
        connector=make_connector(),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        trace_configs=[_connection_tracing()],
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "busway", "Accept-Encoding": "identity"},
        auto_decompress=False,
        max_line_size=_MAX_LINE_BYTES,
        max_field_size=_MAX_LINE_BYTES,
        max_headers=_MAX_FIELDS,
    )


class HttpExchange:
    """The state of one request and its response.

    ``connected`` is false while the request waits for DNS, the server or a TLS handshake.
    """

    def __init__(self) -> None:
        self.connected = True
        self.response: HttpResponse | None = None

    async def receive(self, response: aiohttp.ClientResponse) -> None:
        """Store the status, then the beginning of the body if it arrives in time."""
        headers = response.headers
        values = (headers.get(name) for name in ("Retry-After", "Location", "Date"))
        self.response = HttpResponse(response.status, b"", *values)
        body = bytearray()
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError):
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                while len(body) < _MAX_BODY_BYTES and (chunk := await response.content.readany()):
                    body += chunk[:_MAX_BODY_BYTES]
        shown = decompressed(bytes(body), headers.get("Content-Encoding", ""), _MAX_BODY_BYTES)
        self.response = msgspec.structs.replace(self.response, body=shown)

    def fail(self, error: aiohttp.ClientResponseError) -> None:
        """Store the status of a response that cannot be parsed."""
        invalid = error.__cause__
        if isinstance(invalid, InvalidHttpResponse) and invalid.status is not None:
            self.response = HttpResponse(invalid.status, b"(the response is not valid HTTP)")


def _connection_tracing() -> aiohttp.TraceConfig:
    """Return a tracing that updates ``HttpExchange.connected`` for new connections."""

    async def create_start(_: aiohttp.ClientSession, of: SimpleNamespace, __: object) -> None:
        of.trace_request_ctx.connected = False

    async def create_end(_: aiohttp.ClientSession, of: SimpleNamespace, __: object) -> None:
        of.trace_request_ctx.connected = True

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_start.append(create_start)
    tracing.on_connection_create_end.append(create_end)
    return tracing


async def why_unreachable(url: str, timeout_s: float) -> str | None:
    """Return why no connection can be opened, with TLS for ``https``; sends no request."""
    parts = urlsplit(url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (80 if secure is None else 443)
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure)
    except TimeoutError:
        return f"no connection within {timeout_s:g} s"
    except (OSError, ssl.SSLError, ValueError) as error:
        return error_cause(error)
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
        async with asyncio.timeout(timeout_s):
            await writer.wait_closed()
    return None


def error_cause(error: BaseException) -> str:
    """Return the error text of the system, which contains no URL."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
