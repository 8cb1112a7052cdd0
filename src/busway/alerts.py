"""The conditions for alerts: ``from busway.alerts import dead_letters``."""

from busway.flow.condition import (
    BacklogAge,
    BacklogSize,
    BreakerOpen,
    DeadLetters,
    DiskFree,
    ErrorRatio,
    Failing,
    LogSize,
    NewDeadLetters,
    Parked,
    Silence,
)

__all__ = [
    "backlog_age",
    "backlog_size",
    "breaker_open",
    "dead_letters",
    "disk_free",
    "error_ratio",
    "failing",
    "log_size",
    "new_dead_letters",
    "parked",
    "silence",
]

backlog_age = BacklogAge
backlog_size = BacklogSize
breaker_open = BreakerOpen
dead_letters = DeadLetters
disk_free = DiskFree
error_ratio = ErrorRatio
failing = Failing
log_size = LogSize
new_dead_letters = NewDeadLetters
parked = Parked
silence = Silence
