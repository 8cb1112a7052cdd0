"""Requests of the API for the HTTP client."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from busway.cli.api_request import PREFIX, ApiRequest

TIMEOUT = httpx2.Timeout(60.0, connect=5.0)


def encode_headers(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return headers as httpx2 takes them if they are not ASCII."""
    return {name.encode(): value.encode("utf-8", "replace") for name, value in headers.items()}


def build_request(
    http: httpx2.Client | httpx2.AsyncClient, url: str, request: ApiRequest
) -> httpx2.Request:
    """Return a request for httpx2."""
    headers = dict(request.headers)
    if request.method != "GET":
        headers["content-type"] = "application/json"
    timeout = httpx2.Timeout(TIMEOUT.connect, read=None) if request.is_slow else TIMEOUT
    return http.build_request(
        request.method,
        url + PREFIX + request.path,
        params=dict(request.params),
        content=request.body,
        headers=headers,
        timeout=timeout,
    )
