"""Checks of a declared webhook when the app is compiled."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from busway.attribute import (
    CORE_ATTRIBUTES,
    RESERVED_NAME_PREFIX,
    TEXT_EXTENSIONS,
    intake_problems,
)
from busway.errors import SourceError
from busway.source.webhook.field_reader import (
    AttributeValue,
    FromHeader,
    FromQuery,
    ValueReader,
    is_constant,
)

SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers that hold secrets, which must not get into the log."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_NAME = re.compile(r"[^a-z0-9]")


class DeclaredWebhook(Protocol):
    """The part of a webhook that is checked."""

    @property
    def source_attribute(self) -> str: ...

    @property
    def attributes(self) -> Mapping[str, AttributeValue]: ...

    @property
    def kept(self) -> Mapping[str, AttributeValue]: ...

    @property
    def headers(self) -> Sequence[str]: ...

    @property
    def query(self) -> Sequence[str]: ...

    @property
    def extensions(self) -> Mapping[str, AttributeValue]: ...


def extension_name(name: str) -> str:
    """Return the extension for a header or a parameter: its letters and digits in lower case.

    >>> extension_name("X-GitHub-Event")
    'xgithubevent'
    """
    return _NO_NAME.sub("", name.lower())


def check_declared(webhook: DeclaredWebhook) -> Iterator[str]:
    """Yield the mistakes of a declaration."""
    values = {**webhook.attributes, **webhook.kept}
    for name, value in values.items():
        yield from _value_mistakes(name, value)
    if "id" in webhook.attributes and is_constant(webhook.attributes["id"]):
        yield (
            "id is a constant, so that all events but the first would be duplicates; use a"
            " path like '$.id', from_header(…), or leave it out"
        )
    yield from _name_mistakes(webhook)
    constants = {name: value for name, value in values.items() if is_constant(value)}
    example = {"specversion": "1.0", "id": "1", "type": "t", "source": webhook.source_attribute}
    yield from intake_problems(example | constants)


def _value_mistakes(name: str, value: AttributeValue) -> Iterator[str]:
    try:
        ValueReader(value)
    except SourceError as error:
        yield f"{name}: {error}"
    if isinstance(value, FromHeader) and not _TOKEN.fullmatch(value.name):
        yield f"{name}: {value.name!r} is not a valid header name"
    if isinstance(value, FromHeader) and value.name.lower() in SECRET_HEADERS:
        yield f"{name}: the header {value.name!r} holds a secret, which must not get into events"
    if isinstance(value, FromQuery) and not value.name:
        yield f"{name}: give the name of a query parameter"


def _name_mistakes(webhook: DeclaredWebhook) -> Iterator[str]:
    names = [(name, extension_name(name)) for name in (*webhook.headers, *webhook.query)]
    origins = dict.fromkeys(webhook.extensions, "extensions")
    fix = "name it yourself: extensions={'name': from_header(…)}"
    for declared, name in names:
        if name in origins:
            yield f"{declared!r} and {origins[name]!r} would both be kept as {name!r}; {fix}"
        if not name:
            yield f"{declared!r} has no letter or digit to name an extension; {fix}"
        origins[name] = declared
    for name in origins:
        if (
            name in CORE_ATTRIBUTES
            or name in TEXT_EXTENSIONS
            or name.startswith(RESERVED_NAME_PREFIX)
        ):
            yield f"{name!r} is reserved and cannot name an extension; {fix}"
