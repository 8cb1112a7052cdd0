"""A decoder that reads of an event only the fields that a set of paths asks for.

Each object on the way to a field becomes a ``msgspec.Struct`` of just the asked-for names, and the
parser skips the rest. Where a field holds something other than an object, it is decoded as that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import UNSET

# What msgspec cannot have as a field's name.
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
        """The type of an object with these names, each of them ``UNSET`` where it is missing."""
        fields = [
            (attribute_name(at), tree.value_type(), UNSET)
            for at, tree in enumerate(self.names.values())
        ]
        renamed = {attribute_name(at): name for at, name in enumerate(self.names)}
        return msgspec.defstruct("Part", fields, rename=renamed, gc=False)

    def value_type(self) -> Any:
        """The type of a field that may hold such an object or anything else."""
        return self.struct | list[Any] | str | int | float | bool | None


def attribute_name(number: int) -> str:
    """The Python name of the ``number``-th name of a tree."""
    return f"f{number}"


def is_decodable(path: str) -> bool:
    """Whether a decoder can be made for this path."""
    return _FORBIDDEN_IN_NAME.search(path) is None


class DottedNames:
    """Finds out cheaply whether an event may spell some of the paths with dots inside its names.

    ``top`` says whether names at the top of the event may have dots as well.
    """

    def __init__(self, paths: Iterable[str], top: bool = True) -> None:
        heads = {name for path in paths for name in path.split(".")[0 if top else 1 : -1]}
        self._any = bool(heads)
        self._heads = re.compile(_after_dot(sorted(heads)) if heads else rb"(?!)").search
        unusual = any(not head.isascii() or "/" in head for head in heads)
        escapes = rb"\\[u/]" if unusual else rb"\\u00[2-7]"
        self._escapes = re.compile(escapes if heads else rb"(?!)").search

    def may_occur(self, raw: bytes) -> bool:
        """Whether one may be there; False is certain."""
        if not self._any:
            return False
        if self._heads(raw):
            return True
        return b"\\" in raw and self._escapes(raw) is not None


def _after_dot(heads: Iterable[str]) -> bytes:
    """A dot with one of the heads before it: written so, the search stops at dots only."""
    quoted = [b'"' + head.encode() for head in heads]
    last = b"".join({re.escape(head[-1:]) for head in quoted})
    before = b"|".join(rb"(?<=%b\.)" % re.escape(head) for head in quoted)
    return rb"\.(?<=[%b]\.)(?:%b)" % (last, before)
