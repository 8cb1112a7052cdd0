"""The names that ``import busway`` exports, imported when one is first used."""

from busway.concurrency import Adaptive
from busway.delivery.backoff import Backoff
from busway.delivery.breaker_policy import BreakerPolicy
from busway.delivery.maintenance_window import Window
from busway.errors import BuswayError, Reject
from busway.event import Event
from busway.flow import App
from busway.settings import env
from busway.step import Step

__all__ = [
    "Adaptive",
    "App",
    "Backoff",
    "BreakerPolicy",
    "BuswayError",
    "Event",
    "Reject",
    "Step",
    "Window",
    "env",
]
