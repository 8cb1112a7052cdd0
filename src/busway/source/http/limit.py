"""Limits of the intake: sizes of bodies, events and what is in flight; time-outs."""

from __future__ import annotations

from typing import Self

import msgspec

from busway.settings import Settings


class IntakeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the intake; sizes in bytes, times in seconds."""

    max_body_bytes: int = 16 * 1024 * 1024
    max_event_bytes: int = 1024 * 1024
    max_in_flight_bytes: int = 128 * 1024 * 1024
    max_in_flight_requests: int = 4096
    max_head_bytes: int = 32 * 1024
    head_timeout_s: float = 10.0
    """Time limit for a head, from its first byte."""
    body_timeout_s: float = 30.0
    """Time limit for a body, in addition to the time for its bytes at ``min_bytes_per_s``."""
    min_bytes_per_s: int = 16 * 1024
    idle_timeout_s: float = 75.0
    """Time limit for an idle connection."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of the settings."""
        return cls(
            max_body_bytes=settings.max_body_bytes,
            max_event_bytes=settings.max_event_bytes,
            max_in_flight_bytes=settings.max_in_flight_bytes,
            max_in_flight_requests=settings.max_in_flight_requests,
        )
