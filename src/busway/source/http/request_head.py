"""The head of a request: parsed by httptools, checked, and cached by its exact bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import httptools
import msgspec

from busway.credential import bearer_token, secret_digest
from busway.network import is_cross_site, is_trusted_host
from busway.ports import Decoder, RequestHead, RequestRefusal
from busway.source.http.route import SourceRoute, SourceRoutes, is_source
from busway.source.refusal import (
    bad_request,
    cross_origin_page,
    not_allowed,
    not_found,
    not_here,
    takes_no_events,
    too_many_headers,
    unsupported_media,
)

Route = Literal["source", "healthz", "readyz", "metrics", "elsewhere"]

ALLOWED_METHODS: dict[str, str] = {
    "healthz": "GET, HEAD, OPTIONS",
    "readyz": "GET, HEAD, OPTIONS",
    "metrics": "GET, HEAD, OPTIONS",
}
CONTENT_ENCODINGS = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip"} | {
    name: name for name in ("zstd", "deflate")
}
_ORIGIN = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
MAX_HEADERS = 256
_MAX_CACHED_HEADS, _MAX_CACHED_HEAD_BYTES = 512, 1024


class ParsedHead(msgspec.Struct, frozen=True, kw_only=True):
    """The parsed head of a request. ``length`` is in bytes, ``None`` for a chunked body."""

    method: str
    path: str
    route: Route
    length: int | None
    keep_alive: bool
    is_http10: bool
    """HTTP/1.0: the connection closes unless both sides say otherwise, and nothing is chunked."""
    expects_continue: bool
    """The client waits for ``100 Continue``."""
    is_upgrade: bool
    content_encoding: str = ""
    source: SourceRoute | None = None
    """The source that the request is addressed to."""
    request: RequestHead | None = None
    """The head as the source sees it."""
    decode: Decoder | None = None
    """Decodes the body; ``None`` if no source receives the request."""
    credential: bytes = b""
    """The digest of the bearer token; empty if there is none."""
    by_foreign_host: bool = False
    """A browser sent it to a host name that a third party may have bound to this address."""
    refusal: RequestRefusal | None = None
    """Why the request is refused, judging by its head."""


def allowed(head: ParsedHead) -> str:
    """Return the allowed methods as the header Allow lists them."""
    return ALLOWED_METHODS[head.route] if head.source is None else head.source.allow


class _HeadCollector:
    """Collects the callbacks of httptools."""

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


class HeadParser:
    """Parses heads and caches short ones: a client's next request often has the same head."""

    def __init__(
        self,
        sources: SourceRoutes,
        *,
        accepts_events: bool = True,
        other_url: Callable[[], str] = str,
    ) -> None:
        self._sources = sources
        self._accepts_events = accepts_events
        self._other_url = other_url
        self._cache: dict[bytes, ParsedHead] = {}
        self.cached = self._cache.get

    def parse(self, raw: bytes) -> ParsedHead | RequestRefusal:
        """Parse a head up to its empty line; return a refusal if it is not HTTP/1."""
        head = parse_head(raw, self._sources)
        if isinstance(head, ParsedHead):
            head = self._split_by_role(head)
        if isinstance(head, ParsedHead) and len(raw) <= _MAX_CACHED_HEAD_BYTES:
            if len(self._cache) >= _MAX_CACHED_HEADS:
                self._cache.clear()
            self._cache[raw] = head
        return head

    def _split_by_role(self, head: ParsedHead) -> ParsedHead:
        """Refuse the head if events, or the API, are served at another address."""
        if not self._accepts_events:
            return _without_intake(head, self._other_url())
        if head.path.startswith("/api/") and (url := self._other_url()):
            return _with_refusal(head, not_here(f"the API is at {url}{head.path}"[:400]))
        return head


def parse_head(raw: bytes, sources: SourceRoutes) -> ParsedHead | RequestRefusal:
    """Parse a head up to its empty line; return a refusal if it is not HTTP/1."""
    if raw.count(b"\n") > MAX_HEADERS + 2:
        return too_many_headers(MAX_HEADERS)
    collector = _HeadCollector()
    try:
        collector.parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        return bad_request(f"this is not an HTTP/1.1 request: {error}")
    version = collector.parser.get_http_version()
    refusal = _protocol_error(collector, version)
    return refusal or _build_head(collector, version, sources)


def _without_intake(head: ParsedHead, intake_url: str) -> ParsedHead:
    """Refuse the head if it sends events to a process without intake.

    ``intake_url`` is the address of the intake, empty if unknown.
    """
    if head.route not in ("source", "elsewhere"):
        return head
    path = head.path[:200] if head.route == "source" else "/events"
    other_address = (
        not_here(f"events go to POST {intake_url}{path}; this is the API") if intake_url else None
    )
    return _with_refusal(head, other_address or takes_no_events())


def _protocol_error(collector: _HeadCollector, version: str) -> RequestRefusal | None:
    if version not in ("1.1", "1.0"):
        return bad_request(f"HTTP/{version} is not supported; send HTTP/1.1")
    if not collector.complete:
        return bad_request("this is not an HTTP/1.1 request: the head ends in the middle")
    if version == "1.1" and len(collector.values("host")) != 1:
        return bad_request("an HTTP/1.1 request has exactly one Host header")
    encodings = collector.text("transfer-encoding").lower()
    if encodings and version == "1.0":
        return bad_request("HTTP/1.0 has no Transfer-Encoding")
    if encodings not in ("", "chunked"):
        return bad_request(f"Transfer-Encoding {encodings!r} is not supported; send chunked")
    return None


def _build_head(collector: _HeadCollector, version: str, sources: SourceRoutes) -> ParsedHead:
    path = _path(collector)
    chunked = bool(collector.values("transfer-encoding"))
    expectation = collector.text("expect").lower()
    head = ParsedHead(
        method=collector.parser.get_method().decode("ascii"),
        path=path,
        route=_route(path),
        length=None if chunked else int(collector.text("content-length") or 0),
        keep_alive=collector.keeps_alive,
        is_http10=version == "1.0",
        expects_continue=expectation == "100-continue" and version != "1.0",
        is_upgrade="upgrade" in collector.text("connection").lower()
        and bool(collector.text("upgrade")),
    )
    head = _with_credential(head, collector)
    if head.refusal is not None:
        return head
    if expectation not in ("", "100-continue"):
        return _with_refusal(head, _unknown_expectation(expectation))
    if head.route == "source":
        return _addressed(head, collector, sources)
    return _with_route(head)


def _path(collector: _HeadCollector) -> str:
    return _ORIGIN.sub(b"", collector.url, count=1).partition(b"?")[0].decode("latin-1") or "/"


def _with_credential(head: ParsedHead, collector: _HeadCollector) -> ParsedHead:
    """Add the credential of the sender; refuse a web page of another origin."""
    if head.route != "source":
        return head
    secret = bearer_token(collector.text("authorization"))
    if secret:
        head = msgspec.structs.replace(head, credential=secret_digest(secret))
    site, origins, host = (
        collector.text("sec-fetch-site"),
        collector.values("origin"),
        collector.text("host"),
    )
    if not (site or origins):
        return head
    if is_cross_site(site, collector.text("origin") if origins else None, host):
        return _with_refusal(head, cross_origin_page())
    return msgspec.structs.replace(head, by_foreign_host=not is_trusted_host(host))


def _with_route(head: ParsedHead) -> ParsedHead:
    if head.route == "elsewhere":
        return _with_refusal(head, not_found(head.path))
    methods = ALLOWED_METHODS[head.route]
    if head.method not in methods.split(", "):
        return _with_refusal(head, not_allowed(head.method, head.path, methods))
    return head


def _addressed(head: ParsedHead, collector: _HeadCollector, sources: SourceRoutes) -> ParsedHead:
    """Add the route and the decoder of the source that the request is addressed to."""
    route = sources.find(head.path)
    if isinstance(route, RequestRefusal):
        return _with_refusal(head, route)
    head = msgspec.structs.replace(head, source=route)
    if head.method not in route.methods:
        if head.method == "OPTIONS":
            return head
        return _with_refusal(head, not_allowed(head.method, head.path, route.allow))
    encoding = collector.text("content-encoding")
    content_encoding = CONTENT_ENCODINGS.get(encoding.strip().lower())
    if content_encoding is None:
        hint = ("accept-encoding", "gzip, zstd, deflate")
        detail = f"Content-Encoding {encoding!r} is not supported; send gzip, zstd or deflate"
        return _with_refusal(head, unsupported_media(detail, hint))
    query = collector.url.partition(b"?")[2].decode("latin-1")
    below = head.path.removeprefix(route.address)
    request = RequestHead(head.method, below, query, tuple(collector.headers))
    decode = sources.decoder(route, request)
    if isinstance(decode, RequestRefusal):
        return _with_refusal(head, decode)
    return msgspec.structs.replace(
        head, content_encoding=content_encoding, request=request, decode=decode
    )


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


def _with_refusal(head: ParsedHead, refusal: RequestRefusal) -> ParsedHead:
    return msgspec.structs.replace(head, refusal=refusal)


def _unknown_expectation(expectation: str) -> RequestRefusal:
    title, detail = "Expectation failed", f"Expect: {expectation!r} is not supported"
    return RequestRefusal(417, "expectation", title, detail)
