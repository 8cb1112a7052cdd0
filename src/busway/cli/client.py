"""The API as a command reaches it: on a server, or in this process on a directory of its own."""

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
from busway.cli.ask import Ask, check
from busway.cli.failure import Unreachable
from busway.cli.http_request import TIMEOUT, as_bytes, made
from busway.cli.registry import found_at
from busway.cli.serving import is_open, server_of
from busway.cli.sse import lines_of
from busway.cli.token_file import kept_token
from busway.errors import BuswayError, StoreError, StoreLocked
from busway.settings import Settings

PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.05


class Client(Protocol):
    """Whoever answers. A ``live`` one is a server: there, something may happen."""

    @property
    def live(self) -> bool: ...

    @property
    def alone(self) -> bool:
        """Whether this process has the directory to itself, so that no flow runs."""
        ...

    def ask(self, request: Ask) -> httpx2.Response:
        """Return the answer, read to its end; raises :class:`Unreachable`."""
        ...

    def lines(self, request: Ask) -> contextlib.AbstractContextManager[Iterator[str]]:
        """Return the lines of an answer as they come; raises :class:`Unreachable`."""
        ...

    def close(self) -> None: ...


class Remote:
    """A server at a URL. A proxy of the environment is used only for one that was ``given``."""

    live = True
    alone = False

    def __init__(self, url: str, headers: Mapping[str, str], given: bool = False) -> None:
        self._url = url.rstrip("/")
        self._http = httpx2.Client(headers=as_bytes(headers), timeout=TIMEOUT, trust_env=given)

    def ask(self, request: Ask) -> httpx2.Response:
        with self._told():
            return self._http.send(self._made(request))

    @contextlib.contextmanager
    def lines(self, request: Ask) -> Iterator[Iterator[str]]:
        with self._told():
            made = self._made(request)
            made.extensions["timeout"] = httpx2.Timeout(TIMEOUT.connect, read=None).as_dict()
            answer = self._http.send(made, stream=True)
            try:
                if answer.status_code >= 400:
                    answer.read()
                check(answer)
                yield lines_of(answer.iter_bytes())
            finally:
                answer.close()

    def close(self) -> None:
        self._http.close()

    def _made(self, request: Ask) -> httpx2.Request:
        return made(self._http, self._url, request)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise BuswayError(
                f"{self._url!r} is no URL ({error}); give one like http://127.0.0.1:8400"
            ) from error
        except httpx2.TransportError as error:
            raise Unreachable(
                f"no server answers at {self._url}: {error}; is it running, is the address right?"
            ) from error


def connect(settings: Settings) -> Client:
    """Return who answers: the server at a URL, the one that has the directory open, or nobody else.

    In the last case the API runs in this process, and the directory is its own meanwhile. So it
    does on an engine that processes share. The token is the one that is set, or else the one that
    the server has made, where this user runs it on this machine.
    """
    headers = {"busway-actor": actor()}
    if settings.url:
        return _at_url(settings, headers)
    if settings.engine:
        return _inside(settings)
    if not settings.data.joinpath("log.db").exists():
        raise StoreError(f"{settings.data} is not a data directory; start a server there first")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = _of_directory(settings, headers)
        except StoreLocked:
            if time.monotonic() > deadline:
                raise
        else:
            if found is not None:
                return found
        time.sleep(_LOOK_EVERY_S)


def actor() -> str:
    """Return who calls, for the audit trail."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _at_url(settings: Settings, headers: Mapping[str, str]) -> Client:
    if settings.api_token:
        return Remote(settings.url, _proving(headers, settings.api_token), given=True)
    found = found_at(settings.url)
    token = None if found is None else kept_token(Path(found.data))
    if found is None or token is None:
        return Remote(settings.url, headers, given=True)
    return Remote(found.url, _proving(headers, token))  # at its own address, and by no proxy


def _of_directory(settings: Settings, headers: Mapping[str, str]) -> Client | None:
    if is_open(settings.data) and (serving := server_of(settings.data)) is not None:
        token = settings.api_token or kept_token(settings.data)
        return Remote(serving.url, _proving(headers, token) if token else headers)
    return _inside(settings)


def _proving(headers: Mapping[str, str], token: str) -> Mapping[str, str]:
    return {**headers, "authorization": f"Bearer {token}"}


def _inside(settings: Settings) -> Client:
    from busway.cli.inside import Inside  # noqa: PLC0415 - what a server's client need not load

    return Inside(settings, Actor.of(actor()).name)
