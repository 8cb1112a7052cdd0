"""The ``chat`` sink: posts each result as a message to an incoming webhook of a chat."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from busway.declarable import DeclarableFunction
from busway.errors import SinkError
from busway.outcome import Down, Outcome, Rejected
from busway.ports import Destination, Load, Pingable, ResultLocation, SinkContext
from busway.settings import Env, resolve
from busway.sink.chat.message import ChatKind, markup_escape, message_json
from busway.sink.http.endpoint import Endpoint, is_http_url
from busway.sink.option import display_value, seconds_option
from busway.sink.template import (
    TemplateError,
    TemplateText,
    TextRenderer,
    make_renderer,
)

_MAX_IN_FLIGHT = 1
"""Messages in flight: chats expect them one after the other."""


class Chat(DeclarableFunction, frozen=True):
    """The incoming webhook of a chat: ``kind`` is ``slack``, ``mattermost``, ``discord`` or
    ``teams``.

    >>> Chat("https://hooks.example/services/T0/B0/secret", "{data[text]}").name
    'chat slack hooks.example #10e2f7'

    At least once. ``text`` is a template, or a function of the result that returns the text. The
    URL is a secret: only its host and the beginning of its digest are shown.
    """

    url: str | Env
    text: TemplateText
    kind: ChatKind = "slack"
    timeout: str | float = "10s"

    @property
    def name(self) -> str:
        shown = display_value(self.url) if isinstance(self.url, Env) else _host_and_digest(self.url)
        return f"chat {self.kind} {shown}"

    def result_location(self) -> ResultLocation:
        return ResultLocation("request", f"a message in {self.name.removeprefix('chat ')}")

    async def open(self, context: SinkContext) -> Destination:
        endpoint, text = self.endpoint(), make_renderer("chat", "text", self.text)
        # aiohttp takes 0.2 s to import; only flows that use it should pay for that.
        from busway.sink.http.destination import HttpDestination  # noqa: PLC0415

        return ChatDestination(self.kind, text, HttpDestination(endpoint))

    def validate_config(self) -> None:
        self.endpoint()
        make_renderer("chat", "text", self.text)

    def endpoint(self) -> Endpoint:
        """Return the endpoint of the webhook. Raises :class:`SinkError` if it is invalid."""
        url = resolve(self.url)
        if not is_http_url(url):
            raise SinkError("chat(url=…): give the URL of an incoming webhook, with https://")
        return Endpoint(
            url=url,
            method="POST",
            headers={},
            batch=None,
            batch_format="json",
            timeout_s=seconds_option("chat", "timeout", self.timeout),
            concurrency=_MAX_IN_FLIGHT,
            display_url=_host_and_digest(url),
        )


class ChatDestination:
    """Posts messages as the ``http`` sink posts results."""

    def __init__(self, kind: ChatKind, text: TextRenderer, http: Destination) -> None:
        self._kind = kind
        self._text = text
        self._http = http

    async def write(self, load: Load) -> Sequence[Outcome]:
        messages = [self._messages(load, index) for index in range(len(load.items))]
        items = [
            msgspec.structs.replace(item, results=message)
            for item, message in zip(load.items, messages, strict=True)
            if not isinstance(message, Rejected)
        ]
        outcomes = iter(await self._http.write(msgspec.structs.replace(load, items=items)))
        return [
            message if isinstance(message, Rejected) else next(outcomes) for message in messages
        ]

    async def ping(self) -> Down | None:
        return await self._http.ping() if isinstance(self._http, Pingable) else None

    async def close(self) -> None:
        await self._http.close()

    def _messages(self, load: Load, index: int) -> Sequence[object] | Rejected:
        item, escape = load.items[index], markup_escape(self._kind)
        try:
            texts = [self._text.render(item, result, escape) for result in item.results]
        except TemplateError as error:
            return Rejected("template", str(error))
        return [message_json(self._kind, text) for text in texts]


def _host_and_digest(url: str) -> str:
    """Return the host of a URL and the beginning of its digest, which identifies it."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return f"{host or '(not a URL)'} #{hashlib.sha256(url.encode()).hexdigest()[:6]}"
