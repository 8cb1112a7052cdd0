"""The sources to declare: ``from busway.sources import webhook``."""

from busway.source.schedule import Schedule

__all__ = ["schedule"]

schedule = Schedule
