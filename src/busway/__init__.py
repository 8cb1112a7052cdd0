"""Busway: event-driven ETL in one Python package."""

from busway.delivery.backoff import Backoff
from busway.delivery.window import Window
from busway.errors import BuswayError, Reject
from busway.event import Event
from busway.flow import App
from busway.settings import env
from busway.step import Step

__all__ = ["App", "Backoff", "BuswayError", "Event", "Reject", "Step", "Window", "env"]
