"""The secrets in a declaration, such as a sink, so that they can be redacted.

A declaration is any record with fields, also a third party's. A value from the environment is a
secret unless its field names a place or a person; a literal value is a secret if its name says so.
In a URL, the password, the values of the query and the fragment are secrets, and the path unless
the declaration's own name shows it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

import msgspec

from busway.errors import SettingsError
from busway.redact import SECRET_NAME
from busway.settings import Env, resolve

_WEB = ("http", "https")
_PUBLIC_FIELDS = frozenset(
    "host port path ca sender to username user table schema key name".split()
)
_HEADERS = re.compile(r"key|auth|sig|session", re.IGNORECASE)
_SECRET_PART = re.compile(r"(?=.*\d|.*[a-z].*[A-Z]|.*[A-Z].*[a-z]).{6,}|.{16,}", re.DOTALL)
"""A part that is a secret by itself; a word like ``services`` is not."""


def secrets_of(declared: object) -> frozenset[str]:
    """Return the secrets of a declaration, such as a sink.

    >>> class Hook(msgspec.Struct):
    ...     url: str
    ...     name: str = "hook api.example"
    >>> sorted(secrets_of(Hook("https://api.example/in/S3CRET-HOOK?sign=A1b2C3d4")))
    ['/in/S3CRET-HOOK', 'A1b2C3d4', 'S3CRET-HOOK', 'sign=A1b2C3d4']
    """
    shown = str(getattr(declared, "name", ""))
    return frozenset(
        secret
        for name, value in _fields(declared)
        for text, hidden in _texts(value)
        for secret in _secrets(name, text, shown, hidden=hidden)
        if len(secret) >= 4
    )


def _fields(declared: object) -> Iterator[tuple[str, object]]:
    if isinstance(declared, msgspec.Struct):
        names: Iterable[str] = declared.__struct_fields__
    elif dataclasses.is_dataclass(declared):
        names = [field.name for field in dataclasses.fields(declared)]
    else:
        names = list(getattr(declared, "__dict__", ()))
    for name in names:
        yield from _named(name, getattr(declared, name, None))


def _named(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield a field's value; for pairs, such as headers, each value with its own name."""
    pairs = value.items() if isinstance(value, Mapping) else value
    if isinstance(pairs, Iterable) and not isinstance(pairs, str | bytes):
        for pair in pairs:
            if isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str):
                yield (f"{pair[0]} authorization" if _HEADERS.search(pair[0]) else pair[0]), pair[1]
            else:
                yield name, pair
    else:
        yield name, value


def _texts(value: object) -> Iterator[tuple[str, bool]]:
    """Yield a text and whether it comes from the environment."""
    if isinstance(value, Env):
        with contextlib.suppress(SettingsError):
            yield resolve(value), True
    elif isinstance(value, str):
        yield value, False


def _secrets(name: str, text: str, shown: str, *, hidden: bool) -> Iterator[str]:
    if "://" in text:
        yield from _secrets_of_url(text, shown)
    elif SECRET_NAME.search(name) or name == "sign" or (hidden and name not in _PUBLIC_FIELDS):
        yield text
        yield from filter(_SECRET_PART.fullmatch, text.split())


def _secrets_of_url(url: str, shown: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        yield url.partition("://")[2]
        return
    whole = parts.netloc if parts.scheme in _WEB else url.partition("://")[2]
    user, at, _ = whole.rpartition("@")  # a password may contain a slash, but a path no @
    if at:
        yield user
        yield user.partition(":")[2] or user
        yield from re.split(r"[@:/]", user.partition(":")[2])
    yield from (parts.query, parts.fragment)
    for pair in parts.query.split("&"):
        parameter, _, value = pair.partition("=")
        if _SECRET_PART.fullmatch(value) or SECRET_NAME.search(parameter):
            yield value
    if parts.scheme in _WEB and parts.path.strip("/") and parts.path not in shown:
        yield parts.path
        yield from filter(_SECRET_PART.fullmatch, parts.path.split("/"))
