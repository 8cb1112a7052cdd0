"""Parse server-sent events (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec


class StreamMessage(msgspec.Struct, frozen=True):
    """An event of a stream."""

    data: str
    event: str = "message"
    id: str = ""


def stream_messages(lines: Iterable[str]) -> Iterator[StreamMessage]:
    r"""Yield the messages of a stream.

    >>> list(stream_messages([": hello", "id: 7", "data: a", "data: b", "", "data: cut off"]))
    [StreamMessage(data='a\nb', event='message', id='7')]
    """
    data: list[str] = []
    event = last_id = ""
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "" if not line:
                if data:
                    yield StreamMessage("\n".join(data), event or "message", last_id)
                data, event = [], ""
            case "data":
                data.append(value)
            case "event":
                event = value
            case "id":
                last_id = value
            case _:
                pass  # a comment, or an unknown field


def stream_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a stream of chunks, without their line ends.

    Only LF and CR LF end a line: text may contain U+2028 or U+0085.

    >>> list(stream_lines([b"data: a", b"b\\r\\n\\nid: 7"]))
    ['data: ab', '', 'id: 7']
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines)
    if rest:
        yield rest.removesuffix(b"\r").decode("utf-8", "replace")
