"""A request of the API as the HTTP client sends it."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from busway.cli.ask import PREFIX, Ask

TIMEOUT = httpx2.Timeout(60.0, connect=5.0)


def as_bytes(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return headers for httpx2, which by itself takes no more than ASCII."""
    return {name.encode(): value.encode("utf-8", "replace") for name, value in headers.items()}


def made(http: httpx2.Client | httpx2.AsyncClient, url: str, request: Ask) -> httpx2.Request:
    """Return a request for httpx2."""
    headers = dict(request.headers)
    if request.method != "GET":
        headers["content-type"] = "application/json"
    timeout = httpx2.Timeout(TIMEOUT.connect, read=None) if request.patient else TIMEOUT
    return http.build_request(
        request.method,
        url + PREFIX + request.path,
        params=dict(request.params),
        content=request.body,
        headers=headers,
        timeout=timeout,
    )
