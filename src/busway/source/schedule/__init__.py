"""A reader whose records are times: a cron expression, an interval, or one time."""

from busway.source.schedule.schedule import Schedule

__all__ = ["Schedule"]
