"""The sources to declare: ``from busway.sources import webhook``.

They are the entry points of the group ``busway.sources``, Busway's own and those of any other
installed distribution; one is imported when its name is used. ``from_field``, ``from_header`` and
``from_query`` are values of a webhook's parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from busway.entry_point import EntryPointGroup
from busway.source.webhook.field_reader import FromField, FromHeader, FromQuery

if TYPE_CHECKING:
    from busway.source.schedule import Schedule
    from busway.source.webhook.source import Webhook

    schedule = Schedule
    webhook = Webhook

__all__ = ["from_field", "from_header", "from_query", "schedule", "webhook"]

from_field = FromField
from_header = FromHeader
from_query = FromQuery

_GROUP = EntryPointGroup("busway.sources", "source")


def __getattr__(name: str) -> Any:
    return _GROUP.attribute(__name__, globals(), name)


def __dir__() -> list[str]:
    return sorted({*_GROUP.names(), *__all__})
