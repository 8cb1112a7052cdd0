"""A reader whose records are the ticks of a schedule."""

from busway.source.schedule.schedule import Schedule

__all__ = ["Schedule"]
