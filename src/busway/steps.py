"""The ready-made steps: ``from busway.steps import …``.

They are the entry points of the group ``busway.steps`` of any installed distribution; one is
imported when its name is used. Busway has none of its own.
"""

from __future__ import annotations

from typing import Any

from busway.entry_point import EntryPointGroup

__all__: list[str] = []

_GROUP = EntryPointGroup("busway.steps", "step")


def __getattr__(name: str) -> Any:
    return _GROUP.attribute(__name__, globals(), name)


def __dir__() -> list[str]:
    return _GROUP.names()
