"""Clients of the API: of a server, or of the API in this process on a data directory."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import httpx2

from busway.actor import Actor
from busway.cli.api_error import ServerUnreachable
from busway.cli.api_request import ApiRequest, raise_for_problem
from busway.cli.event_stream import stream_lines
from busway.cli.http_request import TIMEOUT, build_request, encode_headers
from busway.cli.server_record import is_directory_open, read_server_record
from busway.cli.server_registry import find_server
from busway.cli.token_file import read_token
from busway.errors import BuswayError, StoreError, StoreLocked
from busway.settings import Settings

LOCK_TIMEOUT_S = 30.0
_POLL_INTERVAL_S = 0.05


class ApiClient(Protocol):
    """Sends requests to the API."""

    @property
    def has_server(self) -> bool:
        """Whether a server answers, so that flows may run."""
        ...

    @property
    def is_exclusive(self) -> bool:
        """Whether this process has the data directory to itself, so that no flow runs."""
        ...

    def send(self, request: ApiRequest) -> httpx2.Response:
        """Return the answer, read to its end; raises :class:`ServerUnreachable`."""
        ...

    def lines(self, request: ApiRequest) -> contextlib.AbstractContextManager[Iterator[str]]:
        """Yield the lines of an answer as they arrive; raises :class:`ServerUnreachable`."""
        ...

    def close(self) -> None: ...


class HttpClient:
    """A client of the server at a URL; ``use_proxy`` is whether it uses the environment's proxy."""

    has_server = True
    is_exclusive = False

    def __init__(self, url: str, headers: Mapping[str, str], use_proxy: bool = False) -> None:
        self._url = url.rstrip("/")
        self._http = httpx2.Client(
            headers=encode_headers(headers), timeout=TIMEOUT, trust_env=use_proxy
        )

    def send(self, request: ApiRequest) -> httpx2.Response:
        with self._clear_errors():
            return self._http.send(self._build_request(request))

    @contextlib.contextmanager
    def lines(self, request: ApiRequest) -> Iterator[Iterator[str]]:
        with self._clear_errors():
            made = self._build_request(request)
            made.extensions["timeout"] = httpx2.Timeout(TIMEOUT.connect, read=None).as_dict()
            answer = self._http.send(made, stream=True)
            try:
                if answer.status_code >= 400:
                    answer.read()
                raise_for_problem(answer)
                yield stream_lines(answer.iter_bytes())
            finally:
                answer.close()

    def close(self) -> None:
        self._http.close()

    def _build_request(self, request: ApiRequest) -> httpx2.Request:
        return build_request(self._http, self._url, request)

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise BuswayError(
                f"{self._url!r} is not a valid URL ({error}); use one like http://127.0.0.1:8400"
            ) from error
        except httpx2.TransportError as error:
            raise ServerUnreachable(
                f"no server answers at {self._url}: {error}; is it running, is the URL right?"
            ) from error


def connect(settings: Settings) -> ApiClient:
    """Return a client of the server at a URL, or of the one that has the data directory open.

    If there is neither, the API runs in this process, which keeps the directory open meanwhile; so
    it does on an engine that processes share. The token is the one in the settings, or else the
    one that the server created, if this user runs it on this machine.
    """
    headers = {"busway-actor": actor()}
    if settings.url:
        return _client_of_url(settings, headers)
    if settings.engine:
        return _in_process(settings)
    if not settings.data.joinpath("log.db").exists():
        raise StoreError(f"{settings.data} is not a data directory; start a server with it first")
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            found = _client_of_directory(settings, headers)
        except StoreLocked:
            if time.monotonic() > deadline:
                raise
        else:
            if found is not None:
                return found
        time.sleep(_POLL_INTERVAL_S)


def actor() -> str:
    """Return who runs this command, for the audit trail."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _client_of_url(settings: Settings, headers: Mapping[str, str]) -> ApiClient:
    if settings.api_token:
        return HttpClient(settings.url, _with_token(headers, settings.api_token), use_proxy=True)
    found = find_server(settings.url)
    token = None if found is None else read_token(Path(found.data))
    if found is None or token is None:
        return HttpClient(settings.url, headers, use_proxy=True)
    return HttpClient(found.url, _with_token(headers, token))  # at its own address, without a proxy


def _client_of_directory(settings: Settings, headers: Mapping[str, str]) -> ApiClient | None:
    if (
        is_directory_open(settings.data)
        and (serving := read_server_record(settings.data)) is not None
    ):
        token = settings.api_token or read_token(settings.data)
        return HttpClient(serving.url, _with_token(headers, token) if token else headers)
    return _in_process(settings)


def _with_token(headers: Mapping[str, str], token: str) -> Mapping[str, str]:
    return {**headers, "authorization": f"Bearer {token}"}


def _in_process(settings: Settings) -> ApiClient:
    from busway.cli.in_process import InProcessClient  # noqa: PLC0415 - what a server's client need not load

    return InProcessClient(settings, Actor.of(actor()).name)
