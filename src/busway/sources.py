"""The sources to declare: ``from busway.sources import schedule``.

They are the entry points of the group ``busway.sources``, Busway's own and those of any other
installed distribution; one is imported when its name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from busway.entry_point import EntryPointGroup

if TYPE_CHECKING:
    from busway.source.schedule import Schedule

    schedule = Schedule

__all__ = ["schedule"]

_GROUP = EntryPointGroup("busway.sources", "source")


def __getattr__(name: str) -> Any:
    return _GROUP.attribute(__name__, globals(), name)


def __dir__() -> list[str]:
    return _GROUP.names()
