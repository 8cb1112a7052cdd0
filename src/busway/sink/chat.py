"""The ``chat`` sink: each result is a message in a channel, by a chat's incoming webhook."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from busway.errors import SinkError
from busway.outcome import Down, Outcome, Rejected
from busway.parameter import DeclarableFunction
from busway.ports import Destination, Landing, Load, Reachable, Supplies
from busway.settings import Env, resolve
from busway.sink.chat_message import Kind, escaped, message
from busway.sink.declared import label, seconds
from busway.sink.http_endpoint import Endpoint, is_web
from busway.sink.template import Filler, Text, Unfit, filler

_REQUESTS = 1
"""How many messages are on their way at a time: chats want them one after the other."""


class Chat(DeclarableFunction, frozen=True):
    """The incoming webhook of a chat: ``kind`` is ``slack``, ``mattermost``, ``discord`` or
    ``teams``.

    >>> Chat("https://hooks.example/services/T0/B0/secret", "{data[text]}").name
    'chat slack hooks.example #10e2f7'

    At least once. ``text`` is a template, or a function of the result that returns the text. The
    URL is a secret, so that it shows only by its host and the beginning of its digest.
    """

    url: str | Env
    text: Text
    kind: Kind = "slack"
    timeout: str | float = "10s"

    @property
    def name(self) -> str:
        shown = label(self.url) if isinstance(self.url, Env) else _without_path(self.url)
        return f"chat {self.kind} {shown}"

    def landing(self) -> Landing:
        return Landing("request", f"a message in {self.name.removeprefix('chat ')}")

    async def open(self, supplies: Supplies) -> Destination:
        endpoint, text = self.endpoint(), filler("chat", "text", self.text)
        # aiohttp takes 0.2 s to import, which only a flow that uses it should pay.
        from busway.sink.http_destination import HttpDestination  # noqa: PLC0415

        return ChatDestination(self.kind, text, HttpDestination(endpoint))

    def check(self) -> None:
        self.endpoint()
        filler("chat", "text", self.text)

    def endpoint(self) -> Endpoint:
        """Return where messages are posted. Raises :class:`SinkError` for what never works."""
        url = resolve(self.url)
        if not is_web(url):
            raise SinkError("chat(url=…): give the URL of an incoming webhook, with https://")
        return Endpoint(
            url=url,
            method="POST",
            headers={},
            batch=None,
            batch_format="json",
            timeout_s=seconds("chat", "timeout", self.timeout),
            concurrency=_REQUESTS,
            shown=_without_path(url),
        )


class ChatDestination:
    """Posts messages as the ``http`` sink posts results."""

    def __init__(self, kind: Kind, text: Filler, http: Destination) -> None:
        self._kind = kind
        self._text = text
        self._http = http

    async def write(self, load: Load) -> Sequence[Outcome]:
        messages = [self._messages(load, index) for index in range(len(load.items))]
        items = [
            msgspec.structs.replace(item, results=made)
            for item, made in zip(load.items, messages, strict=True)
            if not isinstance(made, Rejected)
        ]
        posted = iter(await self._http.write(msgspec.structs.replace(load, items=items)))
        return [made if isinstance(made, Rejected) else next(posted) for made in messages]

    async def reach(self) -> Down | None:
        return await self._http.reach() if isinstance(self._http, Reachable) else None

    async def close(self) -> None:
        await self._http.close()

    def _messages(self, load: Load, index: int) -> Sequence[object] | Rejected:
        item, escape = load.items[index], escaped(self._kind)
        try:
            texts = [self._text.text_of(item, result, escape) for result in item.results]
        except Unfit as error:
            return Rejected("template", str(error))
        return [message(self._kind, text) for text in texts]


def _without_path(url: str) -> str:
    """Return a URL's host, and what tells it from others without giving it away."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return f"{host or '(not a URL)'} #{hashlib.sha256(url.encode()).hexdigest()[:6]}"
