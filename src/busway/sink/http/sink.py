"""The ``http`` sink: posts results to a URL, one by one or in batches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from busway.concurrency import Concurrency, parse_concurrency
from busway.declarable import DeclarableFunction
from busway.errors import SettingsError, SinkError
from busway.ports import Destination, ResultLocation, SinkContext
from busway.settings import Env, resolve
from busway.sink.http.endpoint import Endpoint, is_http_url, redacted_url
from busway.sink.http.signature import SigningSecrets, make_signer, normalized_secrets
from busway.sink.option import check_count_option, display_value, seconds_option

HeaderPairs = tuple[tuple[str, str | Env], ...]
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Http(DeclarableFunction, frozen=True):
    """An HTTP endpoint that receives each result in a request, or ``batch`` results in one.

    >>> Http("https://user:password@crm.example/orders?token=1").name
    'http https://crm.example/orders'

    At least once: the ``Idempotency-Key`` of a request is the same for every attempt.
    ``batch_format`` is ``json`` (an array) or ``ndjson`` (a line each); ``timeout`` limits a whole
    request; ``concurrency`` is how many requests of all lanes are in flight: a number,
    ``"adaptive"``, or an :class:`busway.Adaptive` with bounds. ``sign`` signs requests by Standard
    Webhooks, with one secret or several. Values of ``headers`` and the URL may come from the
    environment (:func:`env`).
    """

    url: str | Env
    method: str = "POST"
    headers: Mapping[str, str | Env] | HeaderPairs = ()
    batch: int | None = None
    batch_format: Literal["json", "ndjson"] = "json"
    timeout: str | float = "10s"
    concurrency: Concurrency | str = 8
    sign: SigningSecrets = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "headers", _pairs(self.headers))
        msgspec.structs.force_setattr(self, "sign", normalized_secrets(self.sign))

    @property
    def takes_permits(self) -> Literal[True]:
        return True

    @property
    def name(self) -> str:
        url = display_value(self.url) if isinstance(self.url, Env) else redacted_url(self.url)
        return f"http {url}"

    def result_location(self) -> ResultLocation:
        return ResultLocation("request", f"{self.method} {self.name.removeprefix('http ')}")

    async def open(self, context: SinkContext) -> Destination:
        # aiohttp takes 0.2 s to import; only flows that use it should pay for that.
        from busway.sink.http.destination import HttpDestination  # noqa: PLC0415

        return HttpDestination(self.endpoint())

    def validate_config(self) -> None:
        self.endpoint()

    def endpoint(self) -> Endpoint:
        """Return the endpoint with its variables resolved.

        Raises :class:`SinkError` if the declaration is invalid.
        """
        url = resolve(self.url)
        headers = tuple((name, resolve(value)) for name, value in _pairs(self.headers))
        if not is_http_url(url):
            shown_url = (
                display_value(self.url) if isinstance(self.url, Env) else repr(redacted_url(url))
            )
            raise SinkError(f"http({shown_url}): give a URL like https://host/path")
        if not _TOKEN.fullmatch(self.method):
            raise SinkError(f"http(method={self.method!r}): give a method like POST or PUT")
        for name, value in headers:
            if not _TOKEN.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise SinkError(f"http(headers=…): {name!r} is not a header, or its value is not")
        check_count_option("http", "batch", 1 if self.batch is None else self.batch)
        return Endpoint(
            url,
            self.method,
            dict(headers),
            self.batch,
            self.batch_format,
            seconds_option("http", "timeout", self.timeout),
            _concurrency(self.concurrency),
            make_signer(self.sign),
        )


def _concurrency(value: object) -> Concurrency:
    try:
        return parse_concurrency(value)
    except SettingsError as error:
        raise SinkError(f"http(concurrency=…): {error}") from error


def _pairs(headers: Mapping[str, str | Env] | HeaderPairs) -> HeaderPairs:
    return tuple(headers.items()) if isinstance(headers, Mapping) else headers
