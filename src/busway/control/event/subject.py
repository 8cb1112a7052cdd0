"""Whom a story is about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from busway.control.event.story_record import LogPosition
from busway.control.log.search import EventHead


class StorySubject(msgspec.Struct, frozen=True):
    """An event, where it is, and its bytes, ``None`` where none are left.

    ``appended_at`` is ``None`` where only a copy is left. ``published`` are the flows of which an
    event is on the bus that they made of this one.
    """

    head: EventHead
    position: LogPosition
    raw: bytes | None = None
    appended_at: datetime | None = None
    published: frozenset[str] = frozenset()

    @property
    def members(self) -> Mapping[str, Any] | None:
        """The event, decoded."""
        if self.raw is None:
            return None
        try:
            found = msgspec.json.decode(self.raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return found if isinstance(found, dict) else None
