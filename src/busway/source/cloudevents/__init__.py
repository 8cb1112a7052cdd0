"""The source of CloudEvents at ``POST /events``, in all modes of the HTTP binding."""

from busway.source.cloudevents.source import CloudEvents

__all__ = ["CloudEvents"]
