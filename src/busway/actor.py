"""The actor of a change: an authenticated name, and an unverified remark."""

from __future__ import annotations

import re
from typing import Self

import msgspec

MAX_REMARK_LENGTH = 200
API_TOKEN = "api-token"  # noqa: S105 - the name of the actor, not a secret
ANONYMOUS = "anybody"
_FORBIDDEN_IN_NAME = re.compile(r"[^\w.@:-]+")
_WITH_REMARK = re.compile(r"(\S+) \((.*)\)", re.DOTALL)


class Actor(msgspec.Struct, frozen=True):
    """``name`` comes from the credential; ``remark`` is the caller's own, unverified.

    As text: ``name (remark)``. A name has no spaces, so that a remark cannot pass for a name.
    """

    name: str
    remark: str = ""

    @classmethod
    def of(cls, name: str, remark: str = "") -> Self:
        """Return an actor; replaces invalid characters of the name, drops unprintable ones of the
        remark."""
        text = "".join(char for char in remark if char.isprintable())[:MAX_REMARK_LENGTH]
        return cls(_FORBIDDEN_IN_NAME.sub("_", name) or ANONYMOUS, text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the actor of a text.

        >>> Actor.parse("api-token (ann@ops)"), Actor.parse("ann@ops")
        (Actor(name='api-token', remark='ann@ops'), Actor(name='ann@ops', remark=''))
        """
        match = _WITH_REMARK.fullmatch(text)
        return cls(match[1], match[2]) if match else cls(text)

    def __str__(self) -> str:
        return f"{self.name} ({self.remark})" if self.remark else self.name
