"""The event that a story is about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from busway.control.event.story_record import LogPosition
from busway.control.log.search import EventHead


class StorySubject(msgspec.Struct, frozen=True):
    """An event, its position in the log, and its bytes, ``None`` if none are left.

    ``appended_at`` is ``None`` if only a copy is left. ``published`` are the flows that made an
    event from this one that is on the bus.
    """

    head: EventHead
    position: LogPosition
    raw: bytes | None = None
    appended_at: datetime | None = None
    published: frozenset[str] = frozenset()

    @property
    def members(self) -> Mapping[str, Any] | None:
        """The decoded event."""
        if self.raw is None:
            return None
        try:
            content = msgspec.json.decode(self.raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return content if isinstance(content, dict) else None
