"""``--where``: conditions on the content of events, with the same syntax in every command."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from busway.errors import BuswayError, EventError
from busway.event import Event
from busway.json_number import exact_decoder

_PLAIN_PATH = re.compile(r"\$?\.?([A-Za-z_][\w-]*)((?:\.[A-Za-z_][\w-]*)*)")
_CANONICAL_VALUE = re.compile(r"-?[1-9]\d{0,14}|0|true|false|null")
"""Values that every JSON encoder writes the same; larger numbers may have an exponent."""
MAX_CHARACTERS = 1_000
"""The largest length of a path that is more than names."""
MAX_CONDITIONS = 20
_decode: Callable[[bytes], Any] = exact_decoder(object)
_Find = Callable[[Mapping[str, Any]], Sequence[object]]


class WhereCondition:
    """A condition on the bytes of an event.

    ``PATH=VALUE`` matches if one of the values at a JSON path (RFC 9535; ``$.`` may be omitted) is
    ``VALUE``, as JSON or as literal text; ``PATH`` alone matches if there is any value.

    >>> where = WhereCondition("data.customer.id=4711")
    >>> where(b'{"id": "1", "data": {"customer": {"id": 4711}}}')
    True
    >>> WhereCondition("data.lines[?@.quantity > 2]")(b'{"data": {"lines": [{"quantity": 1}]}}')
    False

    Raises :class:`BuswayError` for an invalid path; a call raises it for an event in which the path
    exceeds the work limit. Only one thread at a time may call it.
    """

    __slots__ = ("_find", "_wanted", "needle", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        path, value = _split_condition(text)
        self._find = _create_finder(path)
        self._wanted = None if value is None else _wanted_values(value)
        self.needle = _needle(value)
        """Bytes that a matching event contains, with the exceptions of :meth:`may_match`."""

    def may_match(self, raw: bytes) -> bool:
        """Return quickly whether an event may match; never false for an event that matches.

        The bytes may be those of many events together.
        """
        if self.needle is None or self.needle in raw:
            return True
        return b"\\" in raw or b'"data_base64"' in raw

    def __call__(self, raw: bytes) -> bool:
        return self.may_match(raw) and self._matches(raw)

    def _matches(self, raw: bytes) -> bool:
        try:
            members = _decode(raw)
            if isinstance(members, dict) and "data" not in members and "data_base64" in members:
                members["data"] = Event.from_json(raw).data
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, EventError):
            return False
        try:
            values = self._find(members)
        except BuswayError as error:
            raise BuswayError(f"where: {self.text[:200]!r}: {error}") from error
        return bool(values) if self._wanted is None else any(map(self._equals, values))

    def _equals(self, value: object) -> bool:
        return any(
            type(wanted) is type(value) and wanted == value for wanted in self._wanted or ()
        ) or (
            _is_number(value)
            and any(_is_number(wanted) and wanted == value for wanted in self._wanted or ())
        )


def all_conditions(texts: Sequence[str]) -> Callable[[bytes], bool]:
    """Return a predicate for events that match all conditions."""
    check_count(texts)
    conditions = [WhereCondition(text) for text in texts]
    return lambda raw: all(condition(raw) for condition in conditions)


def check_count(texts: Sequence[str]) -> None:
    """Raise :class:`BuswayError` for too many conditions."""
    if len(texts) > MAX_CONDITIONS:
        raise BuswayError(f"where: {len(texts):,} conditions; at most {MAX_CONDITIONS} are allowed")


def _split_condition(text: str) -> tuple[str, str | None]:
    """Return the path and the value, which begins after the first ``=`` outside of brackets."""
    depth, quote = 0, ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and depth:
            quote = char
        elif char in "[(":
            depth += 1
        elif char in "])":
            depth -= 1
        elif char == "=" and not depth:
            return text[:index].strip(), text[index + 1 :].strip()
    return text.strip(), None


def _create_finder(path: str) -> _Find:
    plain = _PLAIN_PATH.fullmatch(path)
    if plain is not None:
        return _walk(tuple((plain[1] + plain[2]).split(".")))
    if not path:
        raise BuswayError("where is empty; write it like data.customer.id=4711")
    if len(path) > MAX_CHARACTERS:
        raise BuswayError(
            f"where: {path[:57]!r}... has {len(path):,} characters;"
            f" a path has at most {MAX_CHARACTERS:,}"
        )
    from busway.control.log.json_path import JsonPath  # noqa: PLC0415 - a tenth of the start-up time

    try:
        return JsonPath(path).find
    except BuswayError as error:
        problem = f"where: {path!r} is not a valid JSON path: {error}"
        raise BuswayError(f"{problem}; write it like $.data.total") from error


def _walk(names: tuple[str, ...]) -> _Find:
    """Return a finder for a path of plain names: the usual case, faster than jsonpath."""

    def find(members: object) -> Sequence[object]:
        for name in names:
            if not isinstance(members, dict) or name not in members:
                return ()
            members = members[name]
        return (members,)

    return find


def _wanted_values(value: str) -> tuple[object, ...]:
    """Return the values that a text stands for: the decoded JSON, and the text itself."""
    try:
        decoded = _decode(value.encode())
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return (value,)
    return (decoded,) if isinstance(decoded, str) else (decoded, value)


def _needle(value: str | None) -> bytes | None:
    if not value:
        return None
    (first, *_) = _wanted_values(value)
    if isinstance(first, str):
        return first.encode("utf-8", "surrogatepass") if _is_plain(first) else None
    return value.encode() if _CANONICAL_VALUE.fullmatch(value) else None


def _is_plain(text: str) -> bool:
    """Return whether JSON encodes a text without escapes."""
    return bool(text) and not any(char in '"\\' or char < " " for char in text)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
