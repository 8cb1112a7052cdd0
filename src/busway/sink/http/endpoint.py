"""Configuration of an opened ``http`` sink: its declaration, resolved and validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from busway.concurrency import Adaptive, Concurrency
from busway.sink.http.signature import Signer


class Endpoint(msgspec.Struct, frozen=True):
    """A URL and the settings of its requests; the fields are those of ``Http``."""

    url: str
    method: str
    headers: Mapping[str, str]
    batch: int | None
    batch_format: Literal["json", "ndjson"]
    timeout_s: float
    concurrency: Concurrency
    signer: Signer | None = None
    display_url: str = ""
    """The URL as shown to users, if even its path is secret."""

    @property
    def name(self) -> str:
        """The URL without its secret parts."""
        return self.display_url or redacted_url(self.url)

    @property
    def max_in_flight(self) -> int:
        """The most requests that may be in flight."""
        concurrency = self.concurrency
        return concurrency.max_limit if isinstance(concurrency, Adaptive) else concurrency


def is_http_url(url: str) -> bool:
    """Say whether a URL is an HTTP URL with a host and a valid port.

    >>> is_http_url("https://crm.example/orders"), is_http_url("http://crm.example:99999/"), is_http_url("http://")
    (True, False, False)
    """
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def redacted_url(url: str) -> str:
    """Return a URL without its secret parts: user, password, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else f"{host}{parts.path}"
