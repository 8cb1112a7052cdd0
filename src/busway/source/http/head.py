"""The head of a request: parsed by httptools, judged, and remembered by its exact bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import httptools
import msgspec

from busway.credential import bearer, digest_of
from busway.network import is_cross_site, is_own_name
from busway.ports import Decoder, RequestHead, RequestRefusal
from busway.source.http.problem import (
    bad_request,
    elsewhere,
    foreign_page,
    no_events,
    not_allowed,
    not_found,
    too_many_headers,
    unsupported,
)
from busway.source.http.route import SourceRoute, SourceRoutes, is_source

Route = Literal["source", "healthz", "readyz", "metrics", "elsewhere"]

ALLOWED: dict[str, str] = {
    "healthz": "GET, HEAD, OPTIONS",
    "readyz": "GET, HEAD, OPTIONS",
    "metrics": "GET, HEAD, OPTIONS",
}
CODINGS = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip"} | {
    name: name for name in ("zstd", "deflate")
}
_ORIGIN = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
MAX_HEADERS = 256
_REMEMBERED, _REMEMBERED_BYTES = 512, 1024


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What the head of a request says. ``length`` is ``None`` for a chunked body, in bytes."""

    method: str
    path: str
    route: Route
    length: int | None
    keeps_alive: bool
    old: bool
    """HTTP/1.0: the connection closes unless both sides say otherwise, and nothing is chunked."""
    expects: bool
    """The sender waits for ``100 Continue``."""
    upgrades: bool
    coding: str = ""
    source: SourceRoute | None = None
    """The source that it is addressed to."""
    request: RequestHead | None = None
    """The head as the source sees it."""
    decode: Decoder | None = None
    """Decodes the body, where the source is to receive the request."""
    credential: bytes = b""
    """The digest of the bearer token, empty without one."""
    by_foreign_name: bool = False
    """A browser sends it, to a name that somebody else may have bound to this address."""
    refusal: RequestRefusal | None = None
    """Why the request cannot be taken, as far as its head tells."""


def allowed(head: Head) -> str:
    """Return the methods that are answered, as the header Allow lists them."""
    return ALLOWED[head.route] if head.source is None else head.source.allow


class _Collector:
    """What httptools calls back."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[str, bytes]] = []
        self.complete = False
        self.keeps_alive = True
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("ascii").lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True
        self.keeps_alive = self.parser.should_keep_alive()

    def values(self, name: str) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    def text(self, name: str) -> str:
        return b", ".join(self.values(name)).decode("latin-1")


class Heads:
    """Parses heads, and remembers short ones: a client's next request often has the same."""

    def __init__(
        self,
        sources: SourceRoutes,
        *,
        takes_events: bool = True,
        other: Callable[[], str] = str,
    ) -> None:
        self._sources = sources
        self._takes_events = takes_events
        self._other = other
        self._known: dict[bytes, Head] = {}
        self.known = self._known.get

    def read(self, raw: bytes) -> Head | RequestRefusal:
        """Parse a head that ends with its empty line; a refusal where it is not HTTP/1."""
        found = read_head(raw, self._sources)
        if isinstance(found, Head):
            found = self._parted(found)
        if isinstance(found, Head) and len(raw) <= _REMEMBERED_BYTES:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[raw] = found
        return found

    def _parted(self, head: Head) -> Head:
        """Return a head as it is judged where events and the API are not at one address."""
        if not self._takes_events:
            return _watched_only(head, self._other())
        if head.path.startswith("/api/") and (url := self._other()):
            return _refused(head, elsewhere(f"the API is at {url}{head.path}"[:400]))
        return head


def read_head(raw: bytes, sources: SourceRoutes) -> Head | RequestRefusal:
    """Parse a head that ends with its empty line; a refusal where it is not HTTP/1."""
    if raw.count(b"\n") > MAX_HEADERS + 2:
        return too_many_headers(MAX_HEADERS)
    seen = _Collector()
    try:
        seen.parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        return bad_request(f"this is not an HTTP/1.1 request: {error}")
    version = seen.parser.get_http_version()
    wrong = _faulty(seen, version)
    return wrong or _judged(seen, version, sources)


def _watched_only(head: Head, intake: str) -> Head:
    """Return a head as it is judged where no events are taken; ``intake`` is where they are."""
    if head.route not in ("source", "elsewhere"):
        return head
    path = head.path[:200] if head.route == "source" else "/events"
    there = elsewhere(f"events go to POST {intake}{path}; here is the API") if intake else None
    return _refused(head, there or no_events())


def _faulty(seen: _Collector, version: str) -> RequestRefusal | None:
    if version not in ("1.1", "1.0"):
        return bad_request(f"HTTP/{version} is not spoken here; send HTTP/1.1")
    if not seen.complete:
        return bad_request("this is not an HTTP/1.1 request: the head ends in the middle")
    if version == "1.1" and len(seen.values("host")) != 1:
        return bad_request("an HTTP/1.1 request has exactly one Host header")
    codings = seen.text("transfer-encoding").lower()
    if codings and version == "1.0":
        return bad_request("HTTP/1.0 has no Transfer-Encoding")
    if codings not in ("", "chunked"):
        return bad_request(f"Transfer-Encoding {codings!r} is not understood; send chunked")
    return None


def _judged(seen: _Collector, version: str, sources: SourceRoutes) -> Head:
    path = _path(seen)
    chunked = bool(seen.values("transfer-encoding"))
    expectation = seen.text("expect").lower()
    head = Head(
        method=seen.parser.get_method().decode("ascii"),
        path=path,
        route=_route(path),
        length=None if chunked else int(seen.text("content-length") or 0),
        keeps_alive=seen.keeps_alive,
        old=version == "1.0",
        expects=expectation == "100-continue" and version != "1.0",
        upgrades="upgrade" in seen.text("connection").lower() and bool(seen.text("upgrade")),
    )
    head = _with_sender(head, seen)
    if head.refusal is not None:
        return head
    if expectation not in ("", "100-continue"):
        return _refused(head, _unexpected(expectation))
    if head.route == "source":
        return _addressed(head, seen, sources)
    return _routed(head)


def _path(seen: _Collector) -> str:
    return _ORIGIN.sub(b"", seen.url, count=1).partition(b"?")[0].decode("latin-1") or "/"


def _with_sender(head: Head, seen: _Collector) -> Head:
    """Return a head with what it says about who sends it, refused where that is a foreign page."""
    if head.route != "source":
        return head
    secret = bearer(seen.text("authorization"))
    if secret:
        head = msgspec.structs.replace(head, credential=digest_of(secret))
    site, origins, host = seen.text("sec-fetch-site"), seen.values("origin"), seen.text("host")
    if not (site or origins):
        return head
    if is_cross_site(site, seen.text("origin") if origins else None, host):
        return _refused(head, foreign_page())
    return msgspec.structs.replace(head, by_foreign_name=not is_own_name(host))


def _routed(head: Head) -> Head:
    if head.route == "elsewhere":
        return _refused(head, not_found(head.path))
    methods = ALLOWED[head.route]
    if head.method not in methods.split(", "):
        return _refused(head, not_allowed(head.method, head.path, methods))
    return head


def _addressed(head: Head, seen: _Collector, sources: SourceRoutes) -> Head:
    """Return the head of a request to a source, with what decodes its body."""
    route = sources.find(head.path)
    if isinstance(route, RequestRefusal):
        return _refused(head, route)
    head = msgspec.structs.replace(head, source=route)
    if head.method not in route.methods:
        if head.method == "OPTIONS":
            return head
        return _refused(head, not_allowed(head.method, head.path, route.allow))
    coding = seen.text("content-encoding")
    known = CODINGS.get(coding.strip().lower())
    if known is None:
        hint = ("accept-encoding", "gzip, zstd, deflate")
        detail = f"Content-Encoding {coding!r} is not understood; send gzip, zstd or deflate"
        return _refused(head, unsupported(detail, hint))
    query = seen.url.partition(b"?")[2].decode("latin-1")
    below = head.path.removeprefix(route.address)
    request = RequestHead(head.method, below, query, tuple(seen.headers))
    decode = sources.decoder(route, request)
    if isinstance(decode, RequestRefusal):
        return _refused(head, decode)
    return msgspec.structs.replace(head, coding=known, request=request, decode=decode)


def _route(path: str) -> Route:
    match path:
        case "/healthz":
            return "healthz"
        case "/readyz":
            return "readyz"
        case "/metrics":
            return "metrics"
        case _:
            return "source" if is_source(path) else "elsewhere"


def _refused(head: Head, refusal: RequestRefusal) -> Head:
    return msgspec.structs.replace(head, refusal=refusal)


def _unexpected(expectation: str) -> RequestRefusal:
    title, detail = "Expectation failed", f"Expect: {expectation!r} is not known here"
    return RequestRefusal(417, "expectation", title, detail)
