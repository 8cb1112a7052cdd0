"""A command's way to the API: every command that asks it has --data, --url and --json."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Generic, ParamSpec, TypeVar

import msgspec
import typer

from busway.cli.ask import Ask, check
from busway.cli.declare import Options, adding
from busway.cli.operation_request import http_request
from busway.cli.show import as_json, echo
from busway.control.operation import NoRequest, Operation
from busway.control.page import MAX_LIMIT, Page, PageRequest
from busway.errors import BuswayError
from busway.settings import load_env_file, load_for_command, unknown_settings

if TYPE_CHECKING:
    import httpx2

    from busway.cli.client import Client

T = TypeVar("T")
K = TypeVar("K")
P = ParamSpec("P")

Data = Annotated[Path | None, typer.Option("--data", help="The data directory. [.busway]")]
Url = Annotated[str | None, typer.Option("--url", help="The server. [the directory's]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Every = Annotated[
    float | None,
    typer.Option("--watch", metavar="SECONDS", min=0.1, help="Show it again every so often."),
]
_LOOK_EVERY_S = 0.2
_CLEAR = "\x1b[H\x1b[2J"
_OPTIONS: Options = {
    "data": (Data, None),
    "url": (Url, None),
    "json": (Json, False),
}


class Answer(Generic[T]):
    """What the API answered."""

    def __init__(self, response: httpx2.Response, kind: Any = None) -> None:
        self._response = response
        self._kind = kind

    @property
    def value(self) -> T:
        """The record that an operation returned."""
        if self._kind is None:
            return None  # type: ignore[return-value]
        return msgspec.json.decode(self._response.content, type=self._kind)  # type: ignore[no-any-return]

    @property
    def etag(self) -> str:
        """What to send as ``match`` with a change of what was read."""
        return str(self._response.headers.get("etag", ""))

    def read(self, kind: type[K]) -> K:
        """Return it as a record of the API."""
        return msgspec.json.decode(self._response.content, type=kind)

    def print(self) -> None:
        """Print it as it is, for programs."""
        as_json(msgspec.Raw(self._response.content))


class Call:
    """Asks the API; ``json`` is whether to print JSON. It connects when it is first used."""

    def __init__(self, data: Path | None, url: str | None, json: bool) -> None:
        self.json = json
        self._data = data
        self._url = url
        self._client: Client | None = None

    def run(
        self, operation: Operation[Any, T], request: msgspec.Struct | None = None, match: str = ""
    ) -> Answer[T]:
        """Run an operation, if the record has still the ETag ``match`` where that is given."""
        asked = http_request(operation, request or NoRequest())
        asked = msgspec.structs.replace(asked, headers=_if(match))
        return Answer(check(self.client.ask(asked)), operation.result_type)

    def items_of(
        self,
        operation: Operation[Any, Page[T]],
        request: msgspec.Struct,
        limit: int | None = None,
    ) -> list[T]:
        """Return the items of a list, from as many pages as it takes, at most ``limit``."""
        items: list[T] = []
        wanted = sys.maxsize if limit is None else limit
        while True:
            if isinstance(request, PageRequest):
                page_limit = min(MAX_LIMIT, wanted - len(items))
                request = msgspec.structs.replace(request, limit=page_limit)
            page = self.run(operation, request).value
            items += page.items
            if page.next is None or len(items) >= wanted:
                return items
            request = msgspec.structs.replace(request, cursor=page.next)

    def get(self, path: str, **params: Any) -> Answer[Any]:
        """Read ``path``, below ``/api/v1``; parameters that are ``None`` are left out."""
        return self._ask(Ask("GET", path, _texts(params)))

    def post(
        self, path: str, body: object = None, *, patient: bool = False, **params: Any
    ) -> Answer[Any]:
        """Have something done; ``patient`` is for what may take minutes."""
        return self._ask(Ask("POST", path, _texts(params), _encoded(body), patient=patient))

    def put(self, path: str, body: object, match: str = "", **params: Any) -> Answer[Any]:
        """Put a record in its place, when it still has the ETag ``match`` where that is given."""
        return self._ask(Ask("PUT", path, _texts(params), _encoded(body), _if(match)))

    def patch(self, path: str, body: object, match: str = "") -> Answer[Any]:
        """Change parts of a record."""
        return self._ask(Ask("PATCH", path, body=_encoded(body), headers=_if(match)))

    def delete(self, path: str, **params: Any) -> Answer[Any]:
        """Take something away."""
        return self._ask(Ask("DELETE", path, _texts(params)))

    def items(self, path: str, kind: type[T], most: int = 1_000_000, **params: Any) -> list[T]:
        """Return the items of a list, from as many pages as it takes, and at most ``most``."""
        found: list[T] = []
        cursor: str | None = None
        while len(found) < most:
            limit = min(1_000, most - len(found))
            answer = self.get(path, limit=limit, cursor=cursor, **params).read(_Page)
            # the type is known when it runs only
            found += msgspec.json.decode(answer.items, type=list[kind])  # type: ignore[valid-type]
            cursor = answer.next
            if cursor is None:
                break
        return found

    @contextlib.contextmanager
    def lines(self, path: str, **params: Any) -> Iterator[Iterator[str]]:
        """Read a stream line by line as it comes; one in this process ends with the log."""
        if not self.client.live:
            params["follow"] = False
        with self.client.lines(Ask("GET", path, _texts(params))) as lines:
            yield lines

    def polled(self, path: str, kind: type[T]) -> Iterator[T]:
        """Read ``path`` again and again, for as long as the caller wants to know more."""
        while True:
            yield self.get(path).read(kind)
            time.sleep(_LOOK_EVERY_S)

    @property
    def client(self) -> Client:
        if self._client is None:
            from busway.cli.client import connect  # noqa: PLC0415 - what help need not load

            load_env_file(Path())
            for what in unknown_settings():
                echo(f"busway: warning: {what}", err=True)
            self._client = connect(load_for_command(data=self._data, url=self._url))
        return self._client

    def repeated(self, show: Callable[[], None], every_s: float | None) -> None:
        """Show once, or again and again until ctrl-C, each over the one before on a terminal."""
        if every_s is None:
            show()
            return
        if self.client.alone:
            raise BuswayError("nothing runs here, so there is nothing to watch; leave out --watch")
        try:
            while True:
                if sys.stdout.isatty():
                    typer.echo(_CLEAR, nl=False)
                show()
                sys.stdout.flush()
                time.sleep(every_s)
        except KeyboardInterrupt:
            return

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _ask(self, request: Ask) -> Answer[Any]:
        return Answer(check(self.client.ask(request)))


class _Page(msgspec.Struct):
    items: msgspec.Raw
    next: str | None = None


def calling(command: Callable[Concatenate[Call, P], None]) -> Callable[..., None]:
    """Make a command of a function that takes a :class:`Call` first: adds the options for it."""

    @functools.wraps(command)
    def closing(call: Call, *args: P.args, **kwargs: P.kwargs) -> None:
        _check_texts(kwargs)
        with contextlib.closing(call):
            command(call, *args, **kwargs)

    return adding(_OPTIONS, lambda given: Call(**given))(closing)


def _check_texts(given: Mapping[str, object]) -> None:
    """Raise :class:`BuswayError` for a text that the shell did not give in UTF-8."""
    for name, value in given.items():
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError as error:
                    raise BuswayError(
                        f"{name}: {text!r} is not UTF-8; give text in UTF-8"
                    ) from error


def _texts(params: Mapping[str, Any]) -> dict[str, str | list[str]]:
    return {name: _text(value) for name, value in params.items() if value is not None}


def _text(value: Any) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [str(_text(one)) for one in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _encoded(body: object) -> bytes:
    return b"{}" if body is None else msgspec.json.encode(body)


def _if(match: str) -> dict[str, str]:
    return {"if-match": match} if match else {}
