"""Busway: event-driven ETL in one Python package."""

from busway.event import Event

__all__ = ["Event"]
