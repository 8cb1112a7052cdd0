"""Request bodies and content types that a source may be sent by anybody."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

_DEEP = 20_000
HOSTILE_BODIES: Mapping[str, bytes] = {
    "empty": b"",
    "NUL": b"\0",
    "space": b" \r\n\t",
    "bytes that are not UTF-8": b"\xff\xfe\x80",
    "half of a character": '"é"'.encode()[:-2],
    "byte order mark": b"\xef\xbb\xbf{}",
    "JSON null": b"null",
    "JSON number": b"1e999",
    "JSON text": b'"text"',
    "JSON that is cut off": b'{"id": "1", "type": ',
    "JSON with an unpaired surrogate": b'{"id": "\\ud800", "type": "t", "source": "/s"}',
    "JSON with NaN": b'{"id": NaN}',
    "JSON with names twice": b'{"id": "1", "id": "2", "id": 3}',
    "JSON with an empty name": b'{"": {"": []}}',
    "JSON with a long number": b'{"id": ' + b"9" * 5_000 + b"}",
    "JSON of the wrong types": b'{"id": [], "type": {}, "source": 1, "time": false, "data": null}',
    "nested lists": b"[" * _DEEP + b"]" * _DEEP,
    "nested objects": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    "list of nothing": b"[]",
    "list of different things": b'[1, null, "a", {}, [], {"id": "1"}]',
    "lines": b'{}\n\n{"id": "1"}\nnot JSON\n\xff\n',
    "form": b"a=1&a=2&%ff=%00&=&&;c",
    "form with much in it": b"&".join(b"k%d=v" % n for n in range(5_000)),
    "XML": b"<?xml version='1.0'?><a b='1'><c>1</c></a>",
    "XML that is cut off": b"<a><b></a>",
    "XML with entities": (
        b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]><a>&y;</a>'
    ),
    "XML that refers to a file": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "MIME parts": b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n",
    "line ends": b"\r\n" * 1_000,
    "binary": bytes(range(256)) * 16,
}
"""Bodies by what they are."""

CONTENT_TYPES: tuple[str | None, ...] = (
    None,
    "",
    "application/json",
    "application/json; charset=utf-16",
    "application/cloudevents+json",
    "application/cloudevents-batch+json; charset=UTF-8",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "application/xml",
    "text/plain; charset=no-such-charset",
    "application/octet-stream",
    ';;;="',
    "text/" + "x" * 5_000,
)
"""Content types that a request may have, with the body or without regard to it."""


def damaged(body: bytes, seed: int = 0) -> Iterator[bytes]:
    """Yield a valid body cut off, with bytes changed, and with a part of it twice."""
    chance = random.Random(seed)
    yield from (body[: chance.randrange(len(body))] for _ in range(20) if body)
    for _ in range(30 if body else 0):
        changed = bytearray(body)
        changed[chance.randrange(len(body))] = chance.randrange(256)
        yield bytes(changed)
    yield body + body
