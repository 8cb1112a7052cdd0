"""Commands that run operations by the API: each has --data, --url and --json."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Generic, ParamSpec, TypeVar

import msgspec
import typer

from busway.cli.api_request import ApiRequest, raise_for_problem
from busway.cli.operation_request import http_request, query_texts
from busway.cli.output import echo, print_json
from busway.cli.parameter import Parameters, add_parameters
from busway.control.operation import NoRequest, Operation
from busway.control.page import MAX_LIMIT, Page, PageRequest
from busway.errors import BuswayError
from busway.settings import load_env_file, load_for_command, unknown_settings

if TYPE_CHECKING:
    import httpx2

    from busway.cli.client import ApiClient

T = TypeVar("T")
P = ParamSpec("P")

Data = Annotated[Path | None, typer.Option("--data", help="The data directory. [.busway]")]
Url = Annotated[str | None, typer.Option("--url", help="The server. [the directory's]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WatchOption = Annotated[
    float | None,
    typer.Option("--watch", metavar="SECONDS", min=0.1, help="Show it again at this interval."),
]
_POLL_INTERVAL_S = 0.2
_CLEAR = "\x1b[H\x1b[2J"
_OPTIONS: Parameters = {
    "data": (Data, None),
    "url": (Url, None),
    "json": (Json, False),
}


class ApiAnswer(Generic[T]):
    """The API's answer to an operation."""

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
        """The ETag of the record, to be sent as ``match`` with a change of it."""
        return str(self._response.headers.get("etag", ""))

    def print(self) -> None:
        """Print it unchanged, as JSON."""
        print_json(msgspec.Raw(self._response.content))


class Call:
    """Runs operations for a command; it connects when it is first used.

    ``json`` is whether the command prints JSON.
    """

    def __init__(self, data: Path | None, url: str | None, json: bool) -> None:
        self.json = json
        self._data = data
        self._url = url
        self._client: ApiClient | None = None

    def run(
        self, operation: Operation[Any, T], request: msgspec.Struct | None = None, match: str = ""
    ) -> ApiAnswer[T]:
        """Run an operation; with ``match``, only if its record still has this ETag."""
        asked = http_request(operation, request or NoRequest())
        asked = msgspec.structs.replace(asked, headers=_if(match))
        return ApiAnswer(raise_for_problem(self.client.send(asked)), operation.result_type)

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

    @contextlib.contextmanager
    def lines(self, path: str, query: Mapping[str, Any]) -> Iterator[Iterator[str]]:
        """Read a stream line by line as it comes; without a server it ends where the log ends."""
        given = query if self.client.has_server else {**query, "follow": False}
        with self.client.lines(ApiRequest("GET", path, query_texts(given))) as lines:
            yield lines

    def poll(self, operation: Operation[Any, T], request: msgspec.Struct) -> Iterator[T]:
        """Run an operation repeatedly, and yield each result."""
        while True:
            yield self.run(operation, request).value
            time.sleep(_POLL_INTERVAL_S)

    @property
    def client(self) -> ApiClient:
        if self._client is None:
            from busway.cli.client import connect  # noqa: PLC0415 - what help need not load

            load_env_file(Path())
            for what in unknown_settings():
                echo(f"busway: warning: {what}", err=True)
            self._client = connect(load_for_command(data=self._data, url=self._url))
        return self._client

    def repeat(self, show: Callable[[], None], every_s: float | None) -> None:
        """Show once, or every so often until ctrl-C; on a terminal over the output before."""
        if every_s is None:
            show()
            return
        if self.client.is_exclusive:
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


def api_options(command: Callable[Concatenate[Call, P], None]) -> Callable[..., None]:
    """Make a command of a function that takes a :class:`Call` first: add the options of it."""

    @functools.wraps(command)
    def closing(call: Call, *args: P.args, **kwargs: P.kwargs) -> None:
        _refuse_non_utf8(kwargs)
        with contextlib.closing(call):
            command(call, *args, **kwargs)

    return add_parameters(_OPTIONS, lambda given: Call(**given))(closing)


def _refuse_non_utf8(given: Mapping[str, object]) -> None:
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


def _if(match: str) -> dict[str, str]:
    return {"if-match": match} if match else {}
