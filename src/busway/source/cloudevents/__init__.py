"""CloudEvents over HTTP, in all modes: the source at ``POST /events``."""

from busway.source.cloudevents.source import CloudEvents

__all__ = ["CloudEvents"]
