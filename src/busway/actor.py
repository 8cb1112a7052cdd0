"""Who asked for a change: the name that was proven, and what the asker says beside it."""

from __future__ import annotations

import re
from typing import Self

import msgspec

MAX_REMARK_LENGTH = 200
API_TOKEN = "api-token"  # noqa: S105 - the name of the one who brings it
ANONYMOUS = "anybody"
_FORBIDDEN_IN_NAME = re.compile(r"[^\w.@:-]+")
_WITH_REMARK = re.compile(r"(\S+) \((.*)\)", re.DOTALL)


class Actor(msgspec.Struct, frozen=True):
    """``name`` comes from the credential; ``remark`` is what the caller says, and proves nothing.

    As text it is ``name (remark)``. A name has no space, so that no remark can pass for a name.
    """

    name: str
    remark: str = ""

    @classmethod
    def of(cls, name: str, remark: str = "") -> Self:
        """Return an actor with what a name cannot have replaced, and what is not text left out."""
        said = "".join(one for one in remark if one.isprintable())[:MAX_REMARK_LENGTH]
        return cls(_FORBIDDEN_IN_NAME.sub("_", name) or ANONYMOUS, said)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the actor that a text stands for.

        >>> Actor.parse("api-token (ann@ops)"), Actor.parse("ann@ops")
        (Actor(name='api-token', remark='ann@ops'), Actor(name='ann@ops', remark=''))
        """
        found = _WITH_REMARK.fullmatch(text)
        return cls(found[1], found[2]) if found else cls(text)

    def __str__(self) -> str:
        return f"{self.name} ({self.remark})" if self.remark else self.name
