"""A decoder that decodes only the fields of an event that a set of paths tests.

Each object on the path to a field becomes a ``msgspec.Struct`` of only the tested names; the parser
skips the others. A value that is not an object is decoded as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import UNSET

# Characters that msgspec does not support in the name of a field.
_FORBIDDEN_IN_NAME: Final = re.compile(r'["\\\x00-\x1f]')


class FieldTree:
    """Names by level: ``a.b`` and ``a.c`` are one tree with ``b`` and ``c`` under ``a``."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.names: dict[str, FieldTree] = {}
        for path in paths:
            self._add(path.split("."))

    def _add(self, names: list[str]) -> None:
        tree = self
        for name in names:
            tree = tree.names.setdefault(name, FieldTree(()))

    @cached_property
    def struct(self) -> type[msgspec.Struct]:
        """The type of an object with these names; missing ones are ``UNSET``."""
        fields = [
            (attribute_name(at), tree.value_type(), UNSET)
            for at, tree in enumerate(self.names.values())
        ]
        renamed = {attribute_name(at): name for at, name in enumerate(self.names)}
        return msgspec.defstruct("Part", fields, rename=renamed, gc=False)

    def value_type(self) -> Any:
        """Return the type of a field that may hold such an object or any other value."""
        return self.struct | list[Any] | str | int | float | bool | None


def attribute_name(number: int) -> str:
    """Return the Python name of the ``number``-th name of a tree."""
    return f"f{number}"


def is_decodable(path: str) -> bool:
    """Return whether a decoder can be built for a path."""
    return _FORBIDDEN_IN_NAME.search(path) is None


class DottedNames:
    """Detects cheaply whether names in an event may contain dots that are part of a path.

    ``top`` is whether top-level names of the event may contain dots too.
    """

    def __init__(self, paths: Iterable[str], top: bool = True) -> None:
        heads = {name for path in paths for name in path.split(".")[0 if top else 1 : -1]}
        self._any = bool(heads)
        self._heads = re.compile(_after_dot(sorted(heads)) if heads else rb"(?!)").search
        unusual = any(not head.isascii() or "/" in head for head in heads)
        escapes = rb"\\[u/]" if unusual else rb"\\u00[2-7]"
        self._escapes = re.compile(escapes if heads else rb"(?!)").search

    def may_occur(self, raw: bytes) -> bool:
        """Return whether the event may have such a name; False is certain."""
        if not self._any:
            return False
        if self._heads(raw):
            return True
        return b"\\" in raw and self._escapes(raw) is not None


def _after_dot(heads: Iterable[str]) -> bytes:
    """Return a pattern for a dot after one of the heads, written so that it scans only dots."""
    quoted = [b'"' + head.encode() for head in heads]
    last = b"".join({re.escape(head[-1:]) for head in quoted})
    before = b"|".join(rb"(?<=%b\.)" % re.escape(head) for head in quoted)
    return rb"\.(?<=[%b]\.)(?:%b)" % (last, before)
