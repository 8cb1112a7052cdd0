"""Splitting of a JSON array into elements and of NDJSON into lines, without copying the whole.

Each step decodes at most the size limit of an event, so that a large body does not block other
threads, whatever it contains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import StringIO

import msgspec

_WINDOW, _GROWS = 4_096, 4
_BLANKS = re.compile(r"[ \t\r\n]*")


class Piece(msgspec.Struct, frozen=True):
    """An element or a line, as written and decoded; ``line`` counts from 1."""

    text: str
    value: object
    line: int | None = None


class PieceTooLarge(Exception):
    """A piece is larger than an event may be."""

    def __init__(self, index: int, size: int) -> None:
        super().__init__(index, size)
        self.index = index
        self.size = size


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_constant)


def decode_fields(text: str) -> object:
    """Decode JSON to read its fields; a number stays the text as written."""
    return _decoder.decode(text)


def cut_array(text: str, limit: int) -> Iterator[Piece]:
    """Yield the elements of an array. Raises :class:`ValueError` if the text is not an array."""
    at = _after_blank(text, text.index("[") + 1)
    if text[at : at + 1] == "]":
        _check_end(text, at + 1)
        return
    index, mark = 0, ","
    while mark == ",":
        piece = _piece(text, at, index, limit)
        yield piece
        at = _after_blank(text, at + len(piece.text))
        mark = text[at : at + 1]
        at = _after_blank(text, at + 1)
        index += 1
    if mark != "]":
        raise ValueError(f"a comma or the end of the array is missing after {index} elements")
    _check_end(text, at)


def cut_lines(text: str, limit: int) -> Iterator[Piece]:
    """Yield the non-blank lines. Raises :class:`ValueError` for a line that is not JSON."""
    index = 0
    for number, line in enumerate(StringIO(text, newline="\n"), 1):
        value = line.strip(" \t\r\n")
        if not value:
            continue
        if len(value) > limit:
            raise PieceTooLarge(index, len(value))
        try:
            yield Piece(value, _decoder.decode(value), number)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        index += 1


def _piece(text: str, at: int, index: int, limit: int) -> Piece:
    """Return the element at a position; the decoder sees a growing window of the text."""
    size = _WINDOW
    while True:
        window = text[at : at + size]
        is_rest = at + size >= len(text)
        try:
            value, end = _decoder.raw_decode(window)
            if is_rest or end < len(window):
                return Piece(window[:end], value)
        except ValueError as error:
            if is_rest:
                raise ValueError(f"element {index}: {error}") from error
        if size > limit:
            raise PieceTooLarge(index, size)
        size *= _GROWS


def _after_blank(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return at if blanks is None else blanks.end()


def _check_end(text: str, at: int) -> None:
    if _after_blank(text, at) < len(text):
        raise ValueError("there is data after the end of the array")
