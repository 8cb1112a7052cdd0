"""Validation of an event's members by CloudEvents 1.0.2, with a reason for each mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

CORE_ATTRIBUTES = frozenset(
    "specversion id source type subject time datacontenttype dataschema data data_base64".split()
)
REQUIRED_ATTRIBUTES = ("id", "source", "type")
OPTIONAL_TEXT_ATTRIBUTES = ("subject", "dataschema", "datacontenttype")
TEXT_EXTENSIONS = ("partitionkey", "traceparent", "tracestate", "causationid", "correlationid")
"""The extensions that Busway uses: strings; ``partitionkey`` must not be empty."""
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+\s*(;.*)?", re.ASCII | re.DOTALL)
MAX_LENGTHS = {
    "id": 1_024,
    "source": 2_048,
    "type": 1_024,
    "subject": 1_024,
    "datacontenttype": 1_024,
    "dataschema": 2_048,
    "partitionkey": 1_024,
    "causationid": 1_024,
    "correlationid": 1_024,
}
"""The maximum length of an attribute at the intake and on the bus, in characters."""
MAX_EXTENSION_LENGTH = 4_096
"""The maximum length of any other extension's value, in characters."""
MAX_NAME_LENGTH = 256
"""The maximum length of an extension's name, in characters."""
RESERVED_TYPE_PREFIX = "busway."
"""The prefix of the types of Busway's own events; others cannot publish such events."""
RESERVED_SOURCE_PREFIX = "/busway"
"""The prefix of the sources of Busway's own events, followed by ``/`` and a path."""
RESERVED_NAME_PREFIX = "busway"
"""The prefix of the extensions that Busway sets on its own events."""
HOPS_EXTENSION = "buswayhops"
"""The extension that counts the chain of events that caused this one."""
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_NAME = re.compile(r"[a-z0-9]+")
_INT32 = range(-(2**31), 2**31)
_decode_time = msgspec.json.Decoder(datetime).decode


def is_json_type(media_type: str | None) -> bool:
    """Return whether a ``datacontenttype`` means JSON (CloudEvents JSON format, section 3.1)."""
    if media_type is None:
        return True
    subtype = media_type.partition(";")[0].strip().lower().rpartition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def is_form_type(media_type: str | None) -> bool:
    """Say whether a ``datacontenttype`` means a form, whose data is an object of its fields."""
    return (media_type or "").partition(";")[0].strip().lower() in FORM_TYPES


def problems(members: Mapping[str, Any]) -> list[str]:
    """Return the mistakes in the members of an event; an empty list if it is valid.

    ``members`` is the decoded JSON object; ``null`` means absent (CloudEvents JSON format 1.0.2,
    section 2.2). Each reason names the attribute and the valid values.
    """
    present = {name: value for name, value in members.items() if value is not None}
    reasons = [*_required(present), *_optional(present), *_data(present)]
    for name, value in present.items():
        if name not in CORE_ATTRIBUTES:
            reasons += _extension(name, value)
        if name != "data" and isinstance(value, str) and "\0" in value:
            reasons.append(f"{name} is {_shown(value)}; it must not contain the character NUL")
    return reasons


def intake_problems(members: Mapping[str, Any]) -> list[str]:
    """Return why the intake rejects the members of an event; an empty list if it accepts them.

    In addition to :func:`problems`, these are values that are too long and reserved names.
    """
    return [*problems(members), *_too_long(members), *_reserved(members)]


def length_problem(name: str, value: object) -> str:
    """Return the reason if an attribute's value is too long, else an empty text.

    >>> length_problem("id", "x" * 1025)
    'id is 1025 characters long; at most 1024 are accepted'
    """
    most = MAX_LENGTHS.get(name, MAX_EXTENSION_LENGTH)
    if not isinstance(value, str) or len(value) <= most:
        return ""
    return f"{name} is {len(value)} characters long; at most {most} are accepted"


def is_reserved_type(type_: object) -> bool:
    """Return whether a type is reserved for Busway, ignoring case.

    >>> is_reserved_type("busway.alert.raised"), is_reserved_type("Busway.x")
    (True, True)
    >>> is_reserved_type("buswayish"), is_reserved_type("com.busway.x")
    (False, False)
    """
    return isinstance(type_, str) and type_[:16].casefold().startswith(RESERVED_TYPE_PREFIX)


def is_reserved_source(source: object) -> bool:
    """Return whether a source is reserved for Busway's own events.

    >>> is_reserved_source("/busway/alerts"), is_reserved_source("/buswayish")
    (True, False)
    """
    return isinstance(source, str) and f"{source}/".startswith(f"{RESERVED_SOURCE_PREFIX}/")


def _too_long(members: Mapping[str, Any]) -> Iterator[str]:
    for name, value in members.items():
        if len(name) > MAX_NAME_LENGTH:
            subject = f"the attribute name {_shown(name)} is {len(name)} characters long"
            yield f"{subject}; at most {MAX_NAME_LENGTH} are accepted"
        elif name not in ("data", "data_base64") and (reason := length_problem(name, value)):
            yield reason


def _reserved(members: Mapping[str, Any]) -> Iterator[str]:
    if is_reserved_type(members.get("type")):
        yield (
            f"type is {_shown(members['type'])}; types that begin with {RESERVED_TYPE_PREFIX!r} are"
            " reserved for Busway's own events"
        )
    if is_reserved_source(members.get("source")):
        yield (
            f"source is {_shown(members['source'])}; {RESERVED_SOURCE_PREFIX!r} and paths below it"
            " are reserved for Busway's own events"
        )
    for name, value in members.items():
        if value is not None and name.startswith(RESERVED_NAME_PREFIX):
            yield (
                f"the attribute name {_shown(name)} begins with {RESERVED_NAME_PREFIX!r}, which is"
                " reserved for Busway's own attributes"
            )


def _required(members: Mapping[str, Any]) -> Iterator[str]:
    version = members.get("specversion")
    if version is None:
        yield 'specversion is missing; add "specversion": "1.0"'
    elif version != "1.0":
        yield f'specversion is {version!r}; only "1.0" is supported'
    for name in REQUIRED_ATTRIBUTES:
        value = members.get(name)
        if value is None:
            yield f"{name} is missing; it must be a non-empty string"
        elif not isinstance(value, str) or not value:
            yield f"{name} is {_shown(value)}; it must be a non-empty string"


def _optional(members: Mapping[str, Any]) -> Iterator[str]:
    for name in OPTIONAL_TEXT_ATTRIBUTES:
        value = members.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            yield f"{name} is {_shown(value)}; it must be a non-empty string, or left out"
        elif name == "datacontenttype" and value and not MEDIA_TYPE.fullmatch(value):
            yield f"datacontenttype is {_shown(value)}; it must be a media type like text/plain"
    time = members.get("time")
    if time is not None and not is_timestamp(time):
        yield f"time is {_shown(time)}; it must be an RFC 3339 timestamp with an offset"


def _data(members: Mapping[str, Any]) -> Iterator[str]:
    binary = members.get("data_base64")
    if binary is not None and not isinstance(binary, str):
        yield f"data_base64 is {_shown(binary)}; it must be a base64 string"
    if binary is not None and "data" in members:
        yield "data and data_base64 are both present; send one of them"


def _extension(name: str, value: Any) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"the attribute name {_shown(name)} must have only lower-case letters and digits"
    if name in TEXT_EXTENSIONS and (not isinstance(value, str) or value + name == "partitionkey"):
        yield f"{name} is {_shown(value)}; it must be a non-empty string, or left out"
        return
    if isinstance(value, str | bool) or (isinstance(value, int) and value in _INT32):
        return
    if not isinstance(value, datetime):
        yield f"{name} is {_shown(value)}; it must be a string, a boolean or a 32-bit integer"


def is_timestamp(value: Any) -> bool:
    """Return whether a value is an RFC 3339 timestamp with an offset."""
    if isinstance(value, str):
        try:
            value = _decode_time(msgspec.json.encode(value))
        except msgspec.ValidationError:
            return False
    return isinstance(value, datetime) and value.tzinfo is not None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
