"""What an opened ``http`` sink works with: its declaration, filled in and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from busway.concurrency import Adaptive, Concurrency
from busway.sink.http.signature import Signer


class Endpoint(msgspec.Struct, frozen=True):
    """A URL, and how requests go to it; the fields are those of ``Http``."""

    url: str
    method: str
    headers: Mapping[str, str]
    batch: int | None
    batch_format: Literal["json", "ndjson"]
    timeout_s: float
    concurrency: Concurrency
    signer: Signer | None = None
    display_url: str = ""
    """What people see of the URL, where even its path is secret."""

    @property
    def name(self) -> str:
        """The URL, without what may be secret."""
        return self.display_url or redacted_url(self.url)

    @property
    def max_in_flight(self) -> int:
        """How many requests may be on their way at a time, at most."""
        chosen = self.concurrency
        return chosen.max_limit if isinstance(chosen, Adaptive) else chosen


def is_http_url(url: str) -> bool:
    """Say whether a URL is one of HTTP, with a host and a port that there can be.

    >>> is_http_url("https://crm.example/orders"), is_http_url("http://crm.example:99999/"), is_http_url("http://")
    (True, False, False)
    """
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def redacted_url(url: str) -> str:
    """Return a URL without what may be secret: user, password, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else f"{host}{parts.path}"
